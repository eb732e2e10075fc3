"""What apps ask for in words: the wearer's tools do it, as far as the wearer lets apps act."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from glasses.system.daemon_call import call_on_daemon
from glasses.types import Float32Array


@dataclass(frozen=True, slots=True)
class PlannedAct:
    """A call of the tool `tool`. `carry_out` does it and returns what is said, maybe after some seconds."""

    tool: str
    carry_out: Callable[[], str]

    def start(self) -> Future[str]:
        """Carries it out on a thread of its own, which ends with the process at the latest."""
        return call_on_daemon(self.carry_out, f"tool {self.tool}")


class Acts(Protocol):
    """Tells what a turn of an app asks for; on the engine's thread."""

    def plan(self, rows: Float32Array) -> PlannedAct | None:
        """What the turn asks for whose rows (n, n_embd) are in the KV cache with the suffix behind them; None for what
        no tool does. Raises ModelError as the backbone does, InputError(REFUSED) where apps may not act, and BUSY for
        too many calls.
        """
        ...

"""Turns that ask for a tool: the tool is called on a thread of its own, and its sentence is the reply.

Nothing is done before the turn is known to be over and meant for the assistant, except what only reads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from glasses.assistant.reply import TurnProgress
from glasses.errors import ModelError
from glasses.events import Reply
from glasses.tools.caller import ToolCall, ToolCaller
from glasses.types import Float32Array

SLOW_S = 0.8  # after which the wearer is told that it is under way
UNDER_WAY = "One moment."
TOO_MANY = "I am still busy with what you asked before."
_LOOK_S = 0.01  # between two looks whether somebody still waits
_MAX_CALLS = 4  # at the same time


class ToolTurns(Protocol):
    """What the responder asks about a turn whose rows are in the KV cache."""

    def reply_to(self, reply: Reply, rows: Float32Array, progress: TurnProgress) -> str | None:
        """What is said where the turn asks for a tool, maybe ""; None where the backbone is to answer."""
        ...


class CalledTools:
    """The ToolTurns over a ToolCaller. `reply_to` belongs to the thread of the backbone."""

    def __init__(self, caller: ToolCaller, say_later: Callable[[str], None]) -> None:
        """`say_later` gets the sentence of a call that took too long to be the reply; from another thread."""
        self._caller, self._say_later = caller, say_later
        self._free = threading.Semaphore(_MAX_CALLS)

    def reply_to(self, reply: Reply, rows: Float32Array, progress: TurnProgress) -> str | None:
        """See `ToolTurns`. Raises ModelError as the backbone does, and ABORTED where nobody waits any more.

        A call that has begun is not undone by that: what comes of it is said later.
        """
        call = self._caller.plan(rows)
        if call is None:
            return None
        reply.tool, reply.arguments = call.tool.name, dict(call.arguments)
        if not (call.tool.reads_only and call.step == "call"):
            progress.wait_completed()
        if not self._free.acquire(blocking=False):
            return TOO_MANY
        return self._said(self._start(call), progress)

    def _said(self, running: Future[str], progress: TurnProgress) -> str:
        """The sentence of a call, or that it is under way."""
        since_s = time.monotonic()
        while True:
            try:
                return running.result(_LOOK_S)
            except TimeoutError:
                if running.done():  # the tool's own
                    raise
            try:
                progress.check()
            except ModelError:
                if progress.is_completed:
                    running.add_done_callback(self._later)
                raise
            if progress.is_completed and time.monotonic() - since_s > SLOW_S:
                running.add_done_callback(self._later)
                return UNDER_WAY

    def _start(self, call: ToolCall) -> Future[str]:
        """The call on a thread of its own, which ends with the process at the latest."""
        running = Future[str]()

        def carry_out() -> None:
            try:
                running.set_result(self._caller.carry_out(call))
            except BaseException as error:  # raised again where the result is asked for
                running.set_exception(error)
            finally:
                self._free.release()

        threading.Thread(target=carry_out, name=f"tool {call.tool.name}", daemon=True).start()
        return running

    def _later(self, running: Future[str]) -> None:
        if said := running.result():
            self._say_later(said)

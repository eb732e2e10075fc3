"""What apps ask for in words, done by the wearer's tools: with their store, by their rules, and told to the wearer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from glasses.assistant.open_tools import TypedWords
from glasses.backbone.prompt import SYSTEM
from glasses.errors import InputError, Reason, RemoteError
from glasses.runtime.bundle import LoadedBundle
from glasses.tools.acts import PlannedAct
from glasses.tools.call import ToolCall
from glasses.tools.caller import ToolCaller
from glasses.types import Float32Array

PER_MINUTE = 30  # calls for all apps together: more is a program that runs wild
ONLY_BY_VOICE = "Only the wearer can agree to that, by voice."
MAY_NOT_ACT = "the wearer does not let apps call tools: apps.act = true in config.toml does"


class AppActs:
    """See `glasses.tools.acts.Acts`."""

    def __init__(
        self,
        caller: ToolCaller,
        loaded: LoadedBundle,
        *,
        may_act: bool = True,
        refused: Mapping[str, str] | None = None,
        note: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """`caller` is the wearer's. `may_act`: whether apps may call tools at all; `refused`: why they may not call
        some, by name. `note` tells the wearer of each call, before it happens.
        """
        self._caller, self._may_act, self._note = caller, may_act, note
        self._refused = {} if refused is None else refused
        backbone = loaded.backbone
        # Apps are answered after the neutral prompt, whatever the wearer's persona is.
        n_prefix = len(backbone.tokenize(backbone.prompt_format.prefix(SYSTEM)))
        self._typed = TypedWords(loaded, lambda: n_prefix)
        self._recent: deque[float] = deque(maxlen=PER_MINUTE)

    def plan(self, rows: Float32Array) -> PlannedAct | None:
        """See `Acts.plan`."""
        caller = self._caller.beside(lambda words: self._typed.with_rows(words, caller.plan))
        call = caller.plan(rows)
        if call is None:
            return None
        if not self._may_act:
            raise InputError(Reason.REFUSED, MAY_NOT_ACT)
        if why := self._why_refused(call):
            raise InputError(Reason.REFUSED, why)
        now_s = time.monotonic()
        if len(self._recent) == PER_MINUTE and now_s - self._recent[0] < 60:
            raise RemoteError(Reason.BUSY, f"apps may call {PER_MINUTE} tools a minute: try again later")
        self._recent.append(now_s)
        return PlannedAct(call.tool.name, partial(self._carry_out, caller, call))

    def _carry_out(self, caller: ToolCaller, call: ToolCall) -> str:
        """On any thread. What has to be agreed to is not done: an app cannot agree for the wearer."""
        self._note(f"an app asked for this: {call.tool.name.replace('_', ' ')}")
        said = caller.carry_out(call)
        return f"{said} {ONLY_BY_VOICE}" if caller.waits_for_yes else said

    def _why_refused(self, call: ToolCall) -> str:
        return next((self._refused[one.tool.name] for one in (call, *call.parts) if one.tool.name in self._refused), "")

"""Turns that ask for a tool: the tool is called on a thread of its own, and its sentence is the reply.

Nothing is done before the turn is known to be over and meant for the assistant, except what only reads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

from glasses.assistant.reply import TurnProgress
from glasses.errors import ModelError
from glasses.events import Draft, Reply
from glasses.system.daemon_call import call_on_daemon
from glasses.tools.call import ToolCall
from glasses.tools.caller import ToolCaller
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

    def heard(self, draft: Draft) -> Draft:
        """The draft without what it was taken to ask of the memory, where it answers a question of a tool."""
        ...

    def undo(self) -> None:
        """The turn of the last reply goes on, so what was done for it is taken back where that is possible."""
        ...

    @property
    def has_new(self) -> bool:
        """Whether there are tools that `learn` does not know yet."""
        ...

    def learn(self) -> bool:
        """Nobody is being answered: one step of getting to know new tools; whether there was one.

        Raises ModelError as the backbone does.
        """
        ...


@dataclass(slots=True, eq=False)
class _Running:
    """A call on its thread."""

    call: ToolCall
    said: Future[str]
    is_undone: bool = False


class CalledTools:
    """The ToolTurns over a ToolCaller. `reply_to` belongs to the thread of the backbone."""

    def __init__(self, caller: ToolCaller, say_later: Callable[[str], None]) -> None:
        """`say_later` gets the sentence of a call that took too long to be the reply; from another thread."""
        self._caller, self._say_later = caller, say_later
        self._free = threading.Semaphore(_MAX_CALLS)
        self._last: _Running | None = None
        self._plain: Reply | None = None  # to the last turn, where that asked for no tool

    def reply_to(self, reply: Reply, rows: Float32Array, progress: TurnProgress) -> str | None:
        """See `ToolTurns`. Raises ModelError as the backbone does, and ABORTED where nobody waits any more.

        A call that has begun is not undone by that: what comes of it is said later.
        """
        plain, self._plain = self._plain, None
        if plain and plain.ended and plain.draft.turn.id != reply.draft.turn.id:
            self._caller.talked()
        call = self._caller.plan(rows[reply.draft.n_view_rows :])  # the choice was never shown pictures
        if call is None:
            self._plain = reply
            return None
        reply.tool, reply.arguments = call.tool.name, dict(call.arguments)
        if not call.reads_only:
            progress.wait_completed()
        if not self._free.acquire(blocking=False):
            return TOO_MANY
        self._last = self._start(call)
        return self._said(self._last, progress)

    def heard(self, draft: Draft) -> Draft:
        """See `ToolTurns`: "twelve minutes" is like nothing that the memory's heads were trained on."""
        return replace(draft, memory_intent="") if self._caller.waits else draft

    def undo(self) -> None:
        """See `ToolTurns`. A call that still runs is undone when it is done."""
        if (last := self._last) is None or last.is_undone:
            return
        last.is_undone = True
        last.said.add_done_callback(lambda said: self._caller.undo())

    @property
    def has_new(self) -> bool:
        """See `ToolTurns`."""
        return self._caller.has_new

    def learn(self) -> bool:
        """See `ToolTurns`."""
        return self._caller.learn()

    def _said(self, running: _Running, progress: TurnProgress) -> str:
        """The sentence of a call, or that it is under way."""
        since_s = time.monotonic()
        while True:
            try:
                return running.said.result(_LOOK_S)
            except TimeoutError:
                if running.said.done():  # the tool's own
                    raise
            try:
                progress.check()
            except ModelError:
                if progress.is_completed:
                    self._say_when_done(running)
                raise
            if progress.is_completed and time.monotonic() - since_s > SLOW_S:
                self._say_when_done(running)
                return UNDER_WAY

    def _start(self, call: ToolCall) -> _Running:
        """The call on a thread of its own, which ends with the process at the latest."""

        def carry_out() -> str:
            try:
                return self._caller.carry_out(call)
            finally:
                self._free.release()

        return _Running(call, call_on_daemon(carry_out, f"tool {call.tool.name}"))

    def _say_when_done(self, running: _Running) -> None:
        def later(said: Future[str]) -> None:
            if not running.is_undone and (sentence := said.result()):
                self._say_later(sentence)

        running.said.add_done_callback(later)

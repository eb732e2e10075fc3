"""From a turn to a tool's sentence: which tool it asks for, with which arguments, what is asked back, what is said.

`plan` looks at a turn that may not be over yet and changes nothing; `carry_out` does what the turn asked for, once it
is known to be over and meant for the assistant.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from glasses.errors import GlassesError, InputError, Reason
from glasses.tools.call import ToolCall, missing
from glasses.tools.planner import NOT_UNDERSTOOD, Chooser, Planner, Reader
from glasses.tools.printable import printable
from glasses.tools.routines import PREFIX
from glasses.tools.store import Image
from glasses.tools.tool import Tool, ToolContext
from glasses.types import Float32Array

log = logging.getLogger(__name__)
WAIT_S = 30.0  # a question of a tool waits so long for its answer
FOLLOW_S = 60.0  # so long a turn may lean on the call before it
FAILED = "That did not work."
CANCELLED = "All right, I leave it."
CHANGED = "Changed."
UNDONE, NOT_UNDONE = "That is undone.", "That cannot be undone."


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that waits for the wearer: for a yes, or for an argument that is missing."""

    call: ToolCall
    for_yes: bool
    until_s: float


@dataclass(frozen=True, slots=True)
class _Done:
    """A call that was carried out, at `at_s`, and what was kept before and after it where it may have changed that."""

    call: ToolCall
    before: Image | None
    after: Image | None
    at_s: float


class ToolCaller:
    """`plan` belongs to the thread of the backbone; the rest may be called from any."""

    def __init__(
        self,
        tools: Callable[[], Mapping[str, Tool]],
        chooser: Chooser,
        reader: Reader,
        context: ToolContext,
        *,
        understand: Callable[[str], ToolCall | None] = lambda words: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tools` gives all that may be called now, by name. `understand` is what `plan` is for a turn of typed words:
        the steps of routines are understood by it.
        """
        self._planner = Planner(tools, chooser, reader, context, understand)
        self._tools, self._chooser, self._reader, self._context = tools, chooser, reader, context
        self._understand, self._clock_s = understand, clock_s
        self._lock = threading.Lock()
        self._waiting: _Waiting | None = None
        self._done: tuple[_Done, ...] = ()  # the last call, and the last one that was more than a question
        self._leans = True  # no turn without a tool came after them
        self._undone: tuple[_Done, ...] | None = None  # what `_done` was before the last turn
        self._change: tuple[Image, Image] | None = None  # what was kept before the last turn and after it

    def beside(self, understand: Callable[[str], ToolCall | None]) -> ToolCaller:
        """A caller of the same tools for somebody else's turns: what these wait for is not what ours wait for."""
        return ToolCaller(
            self._tools, self._chooser, self._reader, self._context, understand=understand, clock_s=self._clock_s
        )

    @property
    def waits(self) -> bool:
        """Whether a question waits for its answer."""
        return self._waits() is not None

    @property
    def waits_for_yes(self) -> bool:
        """Whether a question waits to be agreed to."""
        waiting = self._waits()
        return waiting is not None and waiting.for_yes

    def plan(self, rows: Float32Array) -> ToolCall | None:
        """What the turn asks for, whose rows float32 (n, n_embd) are in the KV cache with the suffix behind them.

        None: nothing that a tool does. Raises ModelError as the backbone does.
        """
        waiting = self._waits()
        if waiting:
            return self._planner.answer(rows, waiting.call, for_yes=waiting.for_yes)
        return self._planner.plan(rows, [one.call for one in self._recent()], leans=self._leans)

    def _recent(self) -> tuple[_Done, ...]:
        """The calls that a turn may lean on, the last one first."""
        with self._lock:
            return tuple(one for one in self._done if self._clock_s() - one.at_s < FOLLOW_S)

    def prepare(self) -> None:
        """Does now what would make the first `plan` slow. Raises ModelError as the backbone does."""
        self._understand("Set a timer for five minutes.")

    def carry_out(self, call: ToolCall) -> str:
        """Does it, or asks the wearer first; returns what is said. A tool that refuses says why."""
        before = self._kept(call)
        is_sentence = bool(call.parts) and not call.tool.name.startswith(PREFIX)
        carried = [self._carried(part) for part in (_in_order(call.parts) if is_sentence else (call,))]
        after = self._kept(call)
        with self._lock:
            self._change = (before, after) if before is not None and after is not None else None
            self._undone, self._leans = self._done, True
            acts = tuple(one for one in self._done if not one.call.reads_only)
            done = tuple(done for _, done in reversed(carried) if _is_done(done.call))
            self._done = (*done, *acts[:1]) if done and call.reads_only else done
        return " ".join(said for said, _ in carried if said)

    def _carried(self, call: ToolCall) -> tuple[str, _Done]:
        """Does one call; what is said, and what was done."""
        before = self._kept(call)
        taken_back = self._take_back(call)
        if call.step == "undo":
            said = NOT_UNDONE if taken_back in (None, before) else UNDONE
            return said, _Done(call, before, taken_back, self._clock_s())
        said = printable(self._said(call))
        after = self._kept(call)
        if before is not None and taken_back is not None and after is not None:
            if after == taken_back:  # it made nothing new, so what was stays
                self._context.store.revert(before, after)
                after = before
            else:
                said = f"{CHANGED} {said}"
        return said, _Done(call, before if taken_back is None else taken_back, after, self._clock_s())

    def _take_back(self, call: ToolCall) -> Image | None:
        """Takes back what a call that `call` corrects has done; what is kept then."""
        takes_back = call.corrects or call.step == "undo"
        found = next((one for one in self._recent() if takes_back and one.call.tool is call.tool), None)
        if found is None or found.before is None or found.after is None:
            return None
        self._context.store.revert(found.before, found.after)
        return self._kept(call)

    def talked(self) -> None:
        """A turn was answered without a tool: the next one leans on that, but an act may still be taken back."""
        with self._lock:
            self._done = tuple(one for one in self._done if not one.call.reads_only)
            self._leans = False

    def _kept(self, call: ToolCall) -> Image | None:
        """What is kept now, where the call may change it and it can be read."""
        try:
            return None if call.reads_only else self._context.store.image()
        except InputError as error:
            log.error("what a tool changes cannot be taken back: %s", error)
            return None

    @property
    def has_new(self) -> bool:
        """Whether a tool came that cannot be chosen yet."""
        return bool(self._chooser.untrained(list(self._tools().values())))

    def learn(self) -> bool:
        """Makes a tool that came since choosable; whether there was one. Raises ModelError, ABORTED among others."""
        for tool in self._chooser.untrained(list(self._tools().values())):
            self._chooser.train(tool)
            return True
        return False

    def undo(self) -> None:
        """Takes back what the last call changed of what is kept: the wearer was not done speaking."""
        with self._lock:
            change, self._change, self._waiting = self._change, None, None
            self._done, self._undone = self._undone or (), None
        if change:
            self._context.store.revert(*change)

    def _said(self, call: ToolCall) -> str:
        if call.parts and not call.problem:
            return " ".join(said for part in _in_order(call.parts) if (said := self._said(part)))
        try:
            return self._instead(call) or self._do(call)
        except GlassesError as error:
            log.info("tool %s: %s", call.tool.name, error)
            return FAILED if error.reason is Reason.INTERNAL else str(error)

    def _instead(self, call: ToolCall) -> str:
        """What is said where the tool is not called now: a problem, or a question to the wearer."""
        if call.problem:
            return call.problem
        if call.step == "decline":
            self.forget()
            return CANCELLED
        if call.step == "ask":
            self._wait(call, for_yes=False)
            return call.tool.question(missing(call)[0])
        if call.tool.must_ask and call.step != "confirm" and (asked := self._confirmation(call)):
            self._wait(call, for_yes=True)
            return asked
        return ""

    def _confirmation(self, call: ToolCall) -> str:
        if call.tool.confirm is None:
            return call.tool.confirmation(call.arguments)
        try:
            return call.tool.confirm(self._context, **call.arguments)
        except GlassesError:
            raise
        except (Exception, SystemExit) as error:  # anybody's code, as the tool's function
            raise InputError(Reason.INTERNAL, f"tool {call.tool.name} cannot ask: {error!r}") from error

    def _do(self, call: ToolCall) -> str:
        self.forget()
        try:
            checked = call.tool.checked(call.arguments)
        except InputError as error:
            log.info("%s", error)  # what was said may be in it
            return NOT_UNDERSTOOD
        if call.step == "confirm":
            call.tool.agree()
        return call.tool.call_checked(self._context, checked)

    def forget(self) -> None:
        """Nothing waits for the wearer any more."""
        with self._lock:
            self._waiting = None

    def _wait(self, call: ToolCall, *, for_yes: bool) -> None:
        with self._lock:
            self._waiting = _Waiting(call, for_yes, self._clock_s() + WAIT_S)

    def _waits(self) -> _Waiting | None:
        with self._lock:
            if self._waiting and self._clock_s() > self._waiting.until_s:
                self._waiting = None
            return self._waiting


def _in_order(parts: tuple[ToolCall, ...]) -> list[ToolCall]:
    """A question comes last, so that it can wait for its answer."""
    return sorted(parts, key=lambda part: part.tool.must_ask)


def _is_done(call: ToolCall) -> bool:
    """Whether a call that was carried out has called its tool, which a turn may lean on then."""
    is_asked = call.step in ("ask", "decline", "undo") or (call.step == "call" and call.tool.must_ask)
    return not (is_asked or call.parts or call.problem)

"""From a turn to a tool's sentence: which tool it asks for, with which arguments, what is asked back, what is said.

`plan` looks at a turn that may not be over yet and changes nothing; `carry_out` does what the turn asked for, once it
is known to be over and meant for the assistant.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import msgspec

from glasses.errors import GlassesError, InputError, Reason
from glasses.tools.builtin.about import learn_routine
from glasses.tools.printable import printable
from glasses.tools.routines import PREFIX, routines_in, steps_of
from glasses.tools.store import Image
from glasses.tools.tool import Tool, ToolContext
from glasses.types import Float32Array

log = logging.getLogger(__name__)
WAIT_S = 30.0  # a question of a tool waits so long for its answer
NOT_UNDERSTOOD = "I did not understand that."
FAILED = "That did not work."
CANCELLED = "All right, I leave it."
Step = Literal["call", "confirm", "decline", "ask"]


class Chosen(Protocol):
    """What a turn asks for."""

    @property
    def name(self) -> str:
        """Of a tool, or "confirm" or "decline"."""
        ...


class Chooser(Protocol):
    """Tells which tool a turn asks for; see `ToolChooser`."""

    def choose(self, rows: Float32Array, names: Sequence[str], *, waiting: bool = False) -> Chosen | None:
        """One of `names`; "confirm" or "decline" where a question waits and the turn answers it; None: no tool."""
        ...

    def untrained(self, tools: Sequence[Tool], /) -> list[Tool]:
        """Those that cannot be chosen yet."""
        ...

    def train(self, tool: Tool, /) -> None:
        """Makes one of them so."""
        ...


class Reader(Protocol):
    """Finds the arguments of a tool in a turn."""

    def read(self, tool: Tool, rows: Float32Array, /) -> dict[str, Any]:
        """What of the tool's arguments is in the turn's rows (n, n_embd). The KV cache is as it was when it returns."""
        ...


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a turn asks for. `step`: call the tool; do what was asked about, or leave it; ask for an argument."""

    tool: Tool
    arguments: Mapping[str, Any] = field(default_factory=dict)
    step: Step = "call"
    parts: tuple[ToolCall, ...] = ()  # of a routine, one after the other
    problem: str = ""  # said instead of calling


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call that waits for the wearer: for a yes, or for an argument that is missing."""

    call: ToolCall
    for_yes: bool
    until_s: float


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
        self._tools, self._chooser, self._reader, self._context = tools, chooser, reader, context
        self._understand, self._clock_s = understand, clock_s
        self._in_routine = False  # its steps are being understood
        self._lock = threading.Lock()
        self._waiting: _Waiting | None = None
        self._before: Image | None = None  # the last call changed what was kept from this
        self._after: Image | None = None

    def beside(self, understand: Callable[[str], ToolCall | None]) -> ToolCaller:
        """A caller of the same tools for somebody else's turns: what these wait for is not what ours wait for."""
        return ToolCaller(
            self._tools, self._chooser, self._reader, self._context, understand=understand, clock_s=self._clock_s
        )

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
        tools = self._tools()
        chosen = self._chooser.choose(rows, list(tools), waiting=waiting is not None and waiting.for_yes)
        name = chosen.name if chosen else None
        if waiting and waiting.for_yes and name in ("confirm", "decline"):
            return ToolCall(waiting.call.tool, waiting.call.arguments, name)
        if waiting and not waiting.for_yes and name in (None, waiting.call.tool.name):
            found = self._reader.read(waiting.call.tool, rows)
            if any(one in found for one in missing(waiting.call)):
                return self._call(waiting.call.tool, {**waiting.call.arguments, **found})
        tool = tools.get(name or "")
        if tool is None or (self._in_routine and (tool is learn_routine or tool.name.startswith(PREFIX))):
            return None
        return self._call(tool, self._reader.read(tool, rows))

    def prepare(self) -> None:
        """Does now what would make the first `plan` slow. Raises ModelError as the backbone does."""
        self._understand("Set a timer for five minutes.")

    def carry_out(self, call: ToolCall) -> str:
        """Does it, or asks the wearer first; returns what is said. A tool that refuses says why."""
        before = self._kept(call)
        said = printable(self._said(call))
        after = self._kept(call)
        with self._lock:
            self._before, self._after = before, after
        return said

    def _kept(self, call: ToolCall) -> Image | None:
        """What is kept now, where the call may change it and it can be read."""
        try:
            return None if call.tool.reads_only else self._context.store.image()
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
            before, after, self._before, self._after, self._waiting = self._before, self._after, None, None, None
        if before and after:
            self._context.store.revert(before, after)

    def _said(self, call: ToolCall) -> str:
        if call.parts and not call.problem:
            return " ".join(said for part in call.parts if (said := self._said(part)))
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

    def _call(self, tool: Tool, arguments: Mapping[str, Any]) -> ToolCall:
        if steps := self._steps(tool):
            understood = [self._step(step) for step in steps]
            parts = tuple(part for part in understood if part)
            problem = "" if len(parts) == len(steps) else NOT_UNDERSTOOD
            return ToolCall(tool, parts=parts, problem=problem)
        if isinstance(words := arguments.get("actions"), str) and tool is learn_routine:
            try:
                arguments = {**arguments, "actions": steps_of(words, lambda part: self._step(part) is not None)}
            except InputError as error:
                return ToolCall(tool, arguments, problem=str(error))
        call = ToolCall(tool, arguments)
        return replace(call, step="ask") if missing(call) else call

    def _step(self, words: str) -> ToolCall | None:
        """What one step of a routine asks for; routines in routines would have no end."""
        self._in_routine = True
        try:
            return self._understand(words)
        finally:
            self._in_routine = False

    def _steps(self, tool: Tool) -> tuple[str, ...]:
        """The wearer's words for what a routine does; none for another tool."""
        if not tool.name.startswith(PREFIX):
            return ()
        return next((one.steps for one in routines_in(self._context.store) if one.name == tool.name), ())

    def _wait(self, call: ToolCall, *, for_yes: bool) -> None:
        with self._lock:
            self._waiting = _Waiting(call, for_yes, self._clock_s() + WAIT_S)

    def _waits(self) -> _Waiting | None:
        with self._lock:
            if self._waiting and self._clock_s() > self._waiting.until_s:
                self._waiting = None
            return self._waiting


def missing(call: ToolCall) -> list[str]:
    """The arguments that the tool needs and the call lacks, in the tool's order."""
    fields = msgspec.structs.fields(call.tool.arguments)
    return [one.encode_name for one in fields if one.required and one.encode_name not in call.arguments]

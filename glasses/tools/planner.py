"""From a turn's rows to a ToolCall: which tool is asked for, with which arguments. Nothing is done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from glasses.errors import InputError
from glasses.tools.builtin.about import learn_routine, unable
from glasses.tools.call import ToolCall, missing
from glasses.tools.follow_up import FollowUp, follow_up_of, is_fragment, replaced, takes_back
from glasses.tools.readers import bare
from glasses.tools.routines import PREFIX, is_phrase, routines_in, steps_of
from glasses.tools.said import SaidWord
from glasses.tools.several import are_apart, joints_of, may_be_apart, may_be_left_out
from glasses.tools.tool import Tool, ToolContext
from glasses.types import Float32Array

NOT_UNDERSTOOD = "I did not understand that."
NOT_DONE, LEFT_OUT = "I cannot do this: {}.", "I left this out: {}."


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

    def words(self, rows: Float32Array, /) -> list[SaidWord]:
        """The words that the rows spell."""
        ...


class Planner:
    """Belongs to the thread of the backbone."""

    def __init__(
        self,
        tools: Callable[[], Mapping[str, Tool]],
        chooser: Chooser,
        reader: Reader,
        context: ToolContext,
        understand: Callable[[str], ToolCall | None],
    ) -> None:
        """As `ToolCaller`."""
        self._tools, self._chooser, self._reader, self._context = tools, chooser, reader, context
        self._understand = understand
        self._in_routine = False  # its steps are being understood

    def plan(self, rows: Float32Array, done: Sequence[ToolCall] = (), *, leans: bool = True) -> ToolCall | None:
        """What a turn with these rows asks for; None: nothing that a tool does. It may take back one of the calls
        `done`, the last one first, and where it `leans` on them also correct or repeat it. Raises ModelError as the
        backbone does.
        """
        tools = self._tools()
        if not self._in_routine and (call := self._leaning(rows, tools, done, leans=leans)):
            return call
        chosen = self._chooser.choose(rows, list(tools))
        tool = tools.get(chosen.name) if chosen else None
        if tool is None or (self._in_routine and (tool is learn_routine or tool.name.startswith(PREFIX))):
            return None
        several = None if self._in_routine else self._several(rows, tool, tools)
        return several or self._call(tool, self._reader.read(tool, rows))

    def answer(self, rows: Float32Array, asked: ToolCall, *, for_yes: bool) -> ToolCall | None:
        """As `plan`, where the wearer was asked about `asked`: for a yes, or for an argument that is missing."""
        chosen = self._chooser.choose(rows, list(self._tools()), waiting=for_yes)
        name = chosen.name if chosen else None
        if for_yes and name in ("confirm", "decline"):
            return ToolCall(asked.tool, asked.arguments, "confirm" if name == "confirm" else "decline")
        if not for_yes and name in (None, asked.tool.name):
            found = self._reader.read(asked.tool, rows)
            if any(one in found for one in missing(asked)):
                return self._call(asked.tool, {**asked.arguments, **found})
        return self.plan(rows)

    def _leaning(
        self, rows: Float32Array, tools: Mapping[str, Tool], done: Sequence[ToolCall], *, leans: bool
    ) -> ToolCall | None:
        """What a turn asks for whose words say it by themselves: the phrase of a routine, or a follow-up of a call."""
        routines = [one for name, one in tools.items() if name.startswith(PREFIX)]
        if not (done or routines):
            return None
        said = self._reader.words(rows)
        text = " ".join(word.text for word in said)
        for one in routines:
            if is_phrase(one, text):
                return self._call(one, {})
        acts = [one for one in done if not one.reads_only]
        if acts and takes_back(said):
            return replace(acts[0], step="undo", corrects=False)
        new = follow_up_of(said) if done and leans else None
        for one in done if new and new.lead == "correct" else done[:1]:
            if new and (call := self._again(one, new, rows[new.rest[0].first :], tools)):
                return call
        return None

    def _again(self, before: ToolCall, new: FollowUp, rows: Float32Array, tools: Mapping[str, Tool]) -> ToolCall | None:
        """The call before with new arguments, whose words stand in `rows`; None where they are no such words."""
        tool = before.tool
        if tools.get(tool.name) is not tool or tool.asks_first:
            return None

        def read(tool: Tool, new: FollowUp) -> Mapping[str, Any] | None:
            chosen = self._chooser.choose(rows, list(tools))
            if (
                chosen is None
                or chosen.name == tool.name
                or (is_fragment(tool, new) and _only_says(tools, chosen.name))
            ):
                return self._reader.read(tool, rows)
            return None  # a request of its own

        arguments = replaced(tool, before.arguments, new, read, self._context.now())
        if arguments is None:
            return None
        return replace(self._call(tool, arguments), corrects=new.lead == "correct" and not tool.reads_only)

    def _several(self, rows: Float32Array, tool: Tool, tools: Mapping[str, Tool]) -> ToolCall | None:
        """The calls of a sentence that asks for several things, as one; None: it asks for `tool` alone."""
        if not _stands_alone(tool):
            return None
        said = self._reader.words(rows)
        for joint in joints_of(said):
            left, right = rows[: said[joint.end].first], rows[said[joint.begin].first :]
            words = [bare(word.text) for word in said[joint.begin :]]
            one, other = self._part(left, tools), self._part(right, tools)
            if one is None or (other and not may_be_apart(one, other, words)):
                continue
            first = self._read(one, left, [bare(word.text) for word in said[: joint.end]])
            if other is None:
                if one is tool and may_be_left_out(first, words) and first == self._read(tool, rows, ()):
                    return replace(first, parts=(first, ToolCall(unable, problem=LEFT_OUT.format(" ".join(words)))))
            elif are_apart(first, second := self._read(other, right, words)):
                rest = self._several(right, other, tools) or second
                return replace(first, parts=(first, *(rest.parts or (rest,))), problem="")
        return None

    def _part(self, rows: Float32Array, tools: Mapping[str, Tool]) -> Tool | None:
        """The tool that one of several requests in a sentence asks for; None: nothing by itself."""
        chosen = self._chooser.choose(rows, list(tools))
        tool = tools.get(chosen.name) if chosen else None
        return tool if tool and _stands_alone(tool) else None

    def _read(self, tool: Tool, rows: Float32Array, words: Sequence[str]) -> ToolCall:
        """The call that `words`, spelled by `rows`, ask for."""
        if tool.name == unable.name:
            return ToolCall(tool, problem=NOT_DONE.format(" ".join(words)))
        return self._call(tool, self._reader.read(tool, rows))

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


def _only_says(tools: Mapping[str, Tool], name: str) -> bool:
    """Whether the tool of this name does nothing, so that little is lost where it was not meant."""
    return name == unable.name or (name in tools and tools[name].reads_only)


def _stands_alone(tool: Tool) -> bool:
    """Whether a request for the tool may be one of several: what is taught has an "and" of its own."""
    return tool is not learn_routine and not tool.name.startswith(PREFIX)

"""What a turn asks for: a tool with its arguments, or several one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from glasses.tools.tool import Tool

Step = Literal["call", "confirm", "decline", "ask", "undo"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`step`: call the tool; do what was asked about, or leave it; ask for an argument; take
    back what it has done. `parts` are the calls of a
    routine, or those of a sentence that asks for several things. `problem` is said instead of calling. `corrects`: what
    the call before did is taken back first.
    """

    tool: Tool
    arguments: Mapping[str, Any] = field(default_factory=dict)
    step: Step = "call"
    parts: tuple[ToolCall, ...] = ()
    problem: str = ""
    corrects: bool = False

    @property
    def reads_only(self) -> bool:
        """Whether it changes nothing, so that it may be carried out before the turn is surely over."""
        if self.parts:
            return all(part.reads_only for part in self.parts)
        return self.tool.reads_only and self.step == "call"


def missing(call: ToolCall) -> list[str]:
    """The arguments that the tool needs and the call lacks, in the tool's order."""
    fields = msgspec.structs.fields(call.tool.arguments)
    return [one.encode_name for one in fields if one.required and one.encode_name not in call.arguments]

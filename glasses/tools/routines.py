"""Routines: what the wearer taught to do at a phrase - "when I say good night, stop listening and set an alarm".

A routine keeps the words of its steps, not calls: "an alarm for seven" is another time every day. Its phrase is a tool
of its own, so that it is chosen as every other tool is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from glasses.errors import InputError, Reason
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext

MAX_STEPS = 8
MAX_PHRASE = 60  # characters
PREFIX = "routine_"
_SIGNS = " .,;:!?\"'"
_BETWEEN = re.compile(r"(,? and then |,? then |,? and |, |; )", re.IGNORECASE)
_WORDINGS = ("{}.", "{}", "{}!", "Okay, {}.", "{} then.", "Well, {}.", "{}, please.", "Hey, {}.", "So, {}.", "Now {}.")


@dataclass(frozen=True, slots=True)
class Routine:
    """What is done, step by step, when the wearer says `phrase`; `steps` are the wearer's words."""

    phrase: str
    steps: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its tool."""
        return PREFIX + re.sub(r"[^a-z0-9]+", "_", self.phrase.lower()).strip("_")[: MAX_PHRASE - len(PREFIX)]


def is_phrase(tool: Tool, words: str) -> bool:
    """Whether `words` are the phrase of the routine that `tool` stands for, and nothing else."""
    return bool(words.strip()) and tool.name == Routine(words.strip(_SIGNS), ()).name


def routines_in(store: ToolStore) -> list[Routine]:
    """All routines that are kept."""
    return [Routine(phrase, steps) for phrase, steps in store.routines()]


def tool_of(routine: Routine) -> Tool:
    """The tool that stands for the phrase. It is never called itself: its steps are."""

    def never(context: ToolContext) -> str:
        raise InputError(Reason.UNSUPPORTED, f"the steps of {routine.phrase!r} are called, not the routine")

    said = routine.phrase.strip(" .!?")
    arguments = msgspec.defstruct(f"{routine.name}_arguments", [], forbid_unknown_fields=True, kw_only=True)
    description = f"What you taught for {said!r}: {', '.join(routine.steps)}."
    examples = tuple(one.format(said[:1].upper() + said[1:] if one[0] == "{" else said) for one in _WORDINGS)
    return Tool(routine.name, description, arguments, never, examples, origin="routine")


def steps_of(words: str, is_request: Callable[[str], bool]) -> list[str]:
    """The steps in the wearer's `words`. What is no request by itself goes on with the step before it, as "thirty
    minutes" in "a timer for one hour and thirty minutes" does.

    Raises InputError(BAD_INPUT) where the first is no request, or for too many.
    """
    parts = _BETWEEN.split(words.strip(" .!?"))
    steps: list[str] = []
    for between, part in zip(["", *parts[1::2]], parts[::2], strict=True):
        if is_request(part):
            steps.append(part)
        elif steps:
            steps[-1] += between + part
        else:
            raise InputError(Reason.BAD_INPUT, f"I do not know how to do this: {part}.")
    if len(steps) > MAX_STEPS:
        raise InputError(Reason.BAD_INPUT, f"That are {len(steps)} steps; {MAX_STEPS} are the most.")
    return steps

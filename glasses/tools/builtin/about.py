"""What the assistant says about itself, and what the wearer teaches it."""

from __future__ import annotations

from glasses.errors import InputError, Reason
from glasses.tools import words
from glasses.tools.kinds import Actions, Phrase
from glasses.tools.routines import MAX_PHRASE, Routine, routines_in, tool_of
from glasses.tools.tool import Tool, ToolContext, tool

_ABLE = (
    "answer questions", "say what I hear and see", "tell the time and the date", "set timers, alarms and reminders",
    "keep notes", "calculate and convert", "spell", "read what is written in view", "take pictures", "play sounds",
)  # fmt: skip
UNABLE = "That is something I cannot do."
_MOST_NAMED = 5  # of the tools that others brought


@tool(examples=("Call my mother.", "What will the weather be?", "Turn on the lights.", "Play some music."))
def unable(context: ToolContext) -> str:
    """Says that it cannot do this: calls, messages, music, lights, the way, the weather, shopping, the web."""
    return UNABLE


@tool(examples=("What can you do?", "Help."), reads_only=True)
def help(context: ToolContext) -> str:  # as it is said
    """Tells what the assistant can do."""
    can = f"I can {words.listed(list(_ABLE))}."
    more = [one.name.replace("_", " ") for one in context.tools.tools if one.origin] if context.tools else []
    return f"{can} There is also {words.listed(more[:_MOST_NAMED])}." if more else can


@tool(
    examples=("When I say good night, stop listening and set an alarm for seven.",),
    questions={"phrase": "When you say what?", "actions": "What am I to do then?"},
)
def learn_routine(context: ToolContext, phrase: Phrase, actions: Actions) -> str:
    """Learns to do something, with other tools, whenever the wearer says a phrase."""
    routine = Routine(phrase.strip(" .,!?\"'"), tuple(actions))
    if not routine.phrase or len(routine.phrase) > MAX_PHRASE:
        raise InputError(Reason.BAD_INPUT, "When you say what?")
    if not routine.steps:
        raise InputError(Reason.BAD_INPUT, "What am I to do then?")
    if context.tools:
        context.tools.remove(*(one for one in context.tools.tools if one.name == routine.name))
        context.tools.add(tool_of(routine))
    context.store.put_routine(routine.phrase, routine.steps)
    return f"When you say {routine.phrase}, I will {words.listed(list(routine.steps))}."


@tool(examples=("Which routines do you know?", "What happens when I say good night?"), reads_only=True)
def list_routines(context: ToolContext, phrase: Phrase = "") -> str:
    """Tells what the wearer taught it."""
    found = _matching(context, phrase)
    if not found:
        return f"You taught me nothing for {phrase.strip()}." if phrase.strip() else "You taught me nothing yet."
    return " ".join(f"When you say {one.phrase}, I {words.listed(list(one.steps))}." for one in found)


@tool(examples=("Forget the routine good night.",), asks_first=True)
def forget_routine(context: ToolContext, phrase: Phrase = "", all: bool = False) -> str:  # as it is said
    """Forgets a routine that the wearer taught, or all of them."""
    found = _matching(context, "" if all else phrase)
    if len(found) != 1 and not all:
        which = words.listed([one.phrase for one in found], "or")
        return f"Which one: {which}?" if found else "There is no such routine."
    for one in found:
        context.store.remove_routine(one.phrase)
        if context.tools:
            context.tools.remove(*(tool for tool in context.tools.tools if tool.name == one.name))
    return "All routines are forgotten." if all else f"{words.sentence(found[0].phrase)} That means nothing any more."


def _matching(context: ToolContext, phrase: str) -> list[Routine]:
    """All routines, or those whose phrase has every telling word of `phrase`."""
    found = routines_in(context.store)
    wanted = phrase.strip(" .,!?").lower()
    return [one for one in found if not wanted or wanted in one.phrase.lower() or words.matches(one.phrase, wanted)]


ABOUT: tuple[Tool, ...] = (unable, help, learn_routine, list_routines, forget_routine)

"""Timers and alarms."""

from __future__ import annotations

from glasses.errors import InputError, Reason
from glasses.tools import schedule, words
from glasses.tools.duration import seconds_of
from glasses.tools.kinds import Duration, Label, MorningWhen
from glasses.tools.schedule import Clock, remaining_s
from glasses.tools.store import Due, Kind
from glasses.tools.tool import ToolContext, tool
from glasses.tools.when import read_when


@tool(
    examples=("Set a timer for five minutes.", "Start a ten minute timer for the rice."),
    questions={"duration": "For how long?"},
)
def set_timer(context: ToolContext, duration: Duration, name: Label = "") -> str:
    """Starts a timer, which may have a name."""
    seconds = seconds_of(duration)
    schedule.add_timer(context.store, seconds, name.strip(), Clock.read(context.now()))
    return f"{words.duration(seconds)}{f', {name.strip()}' if name.strip() else ''}, starting now."


@tool(examples=("How long is left?", "Which timers are running?"), reads_only=True)
def list_timers(context: ToolContext, name: Label = "") -> str:
    """Tells how much time is left on the timers."""
    found = matching(context, "timer", name)
    if not found:
        return no_such("timer", name)
    clock = Clock.read(context.now())
    said = [
        f"{words.duration(max(0, remaining_s(due, clock)))}{f' for {due.text}' if due.text else ''}" for due in found
    ]
    return f"{words.listed(said)} left."


@tool(examples=("Cancel the timer.", "Stop the rice timer."))
def cancel_timer(context: ToolContext, name: Label = "", all: bool = False) -> str:  # as it is said
    """Cancels a timer, or all of them."""
    return cancelled(context, "timer", name, all)


@tool(examples=("Wake me at seven.", "Set an alarm for six thirty every weekday."), questions={"when": "At what time?"})
def set_alarm(context: ToolContext, when: MorningWhen, name: Label = "") -> str:
    """Sets an alarm for a time, once or repeated."""
    read = read_when(when, context.now(), prefers_morning=True)
    if not read.has_clock:
        raise InputError(Reason.BAD_INPUT, "At what time?")
    context.store.add_due(Due(0, "alarm", name.strip(), read.at, read.repeat))
    return f"The alarm is set, {words.moments(read.at, read.repeat, context.now())}."


@tool(examples=("What alarms are set?", "When do you wake me?"), reads_only=True)
def list_alarms(context: ToolContext) -> str:
    """Tells which alarms are set."""
    found = context.store.open_dues("alarm")
    if not found:
        return no_such("alarm", "")
    return words.sentence(words.listed([words.moments(due.at, due.repeat, context.now()) for due in found]))


@tool(examples=("Turn my alarm off.", "Cancel the alarm at seven."))
def cancel_alarm(context: ToolContext, when: MorningWhen = "", all: bool = False) -> str:
    """Cancels an alarm, or all of them."""
    found = context.store.open_dues("alarm")
    if when.strip() and not all:
        read = read_when(when, context.now(), prefers_morning=True)
        clock_of = (read.at.hour, read.at.minute)
        found = [
            due for due in found
            if ((due.at.hour, due.at.minute) == clock_of if read.has_clock else due.at.date() == read.at.date())
        ]  # fmt: skip
        if not found:
            return f"There is no alarm {words.moment(read.at, context.now())}."
    return remove(context, "alarm", found, all)


def matching(context: ToolContext, kind: Kind, about: str) -> list[Due]:
    """What is open of a kind, or of that what is meant by `about`."""
    found = context.store.open_dues(kind)
    return [due for due in found if words.matches(due.text, about)] if about.strip() else found


def cancelled(context: ToolContext, kind: Kind, about: str, everything: bool) -> str:
    found = context.store.open_dues(kind) if everything else matching(context, kind, about)
    return remove(context, kind, found, everything) if found else no_such(kind, about)


def remove(context: ToolContext, kind: Kind, found: list[Due], everything: bool) -> str:
    """Removes one, or all; asks which where several are meant."""
    if not found:
        return no_such(kind, "")
    if len(found) > 1 and not everything:
        which = words.listed([_told_apart(context, due, found) for due in found], "or")
        return f"Which one: {which}?"
    context.store.remove_dues(found)
    return f"All {kind}s are cancelled." if len(found) > 1 else f"The {kind} is cancelled."


def _told_apart(context: ToolContext, due: Due, others: list[Due]) -> str:
    """Its name, and what is left or when it is due where it has none or shares it."""
    left = max(0, remaining_s(due, Clock.read(context.now()))) if due.kind == "timer" else None
    when = words.duration(left) if left is not None else words.moment(due.at, context.now())
    shared = sum(other.text == due.text for other in others) > 1
    return f"{due.text} {when}" if due.text and shared else due.text or when


def no_such(kind: str, about: str) -> str:
    return f"There is no {kind}{f' for {about.strip()}' if about.strip() else ''}."

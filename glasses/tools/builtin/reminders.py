"""Reminders: what the wearer is told at a time."""

from __future__ import annotations

from datetime import timedelta

from glasses.errors import InputError, Reason
from glasses.tools import words
from glasses.tools.builtin.timers import cancelled
from glasses.tools.kinds import Clause, When
from glasses.tools.store import Due
from glasses.tools.tool import ToolContext, tool
from glasses.tools.when import next_after, read_when


@tool(
    examples=("Remind me to call Tom at five.", "In ten minutes, remind me of the bread."),
    questions={"text": "Of what?", "when": "At what time?"},
)
def set_reminder(context: ToolContext, text: Clause, when: When) -> str:
    """Reminds the wearer of something at a time, once or repeated."""
    if not text.strip(" .!?"):
        raise InputError(Reason.BAD_INPUT, "Of what?")
    read = read_when(when, context.now())
    at = read.at if read.has_clock else read.at + timedelta(hours=9)  # of a day without a time: in the morning
    if read.repeat:
        at = next_after(at, read.repeat, context.now())
    if at <= context.now():
        raise InputError(Reason.BAD_INPUT, "At what time?")
    context.store.add_due(Due(0, "reminder", text.strip(" .!?"), at, read.repeat))
    return f"I will remind you {words.moments(at, read.repeat, context.now())}: {text.strip(' .!?')}."


@tool(examples=("What are my reminders?", "Is there anything to do today?"), reads_only=True)
def list_reminders(context: ToolContext) -> str:
    """Tells which reminders are set."""
    found = context.store.open_dues("reminder")
    if not found:
        return "There are no reminders."
    return words.sentence(
        words.listed([f"{due.text} {words.moments(due.at, due.repeat, context.now())}" for due in found])
    )


@tool(examples=("Cancel the reminder about Tom.", "You need not remind me of the bread."))
def cancel_reminder(context: ToolContext, text: Clause = "", all: bool = False) -> str:
    """Cancels a reminder, or all of them."""
    return cancelled(context, "reminder", text, all)

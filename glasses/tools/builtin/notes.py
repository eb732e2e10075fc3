"""What the wearer wants remembered, word for word."""

from __future__ import annotations

from glasses.errors import InputError, Reason
from glasses.tools import words
from glasses.tools.kinds import Clause, Topic
from glasses.tools.store import Note
from glasses.tools.tool import ToolContext, tool

_SAID = 3  # notes that are read out at once


@tool(
    examples=("Remember that my seat is 14 C.", "Take a note: buy a lamp."),
    questions={"text": "What is to be remembered?"},
)
def remember(context: ToolContext, text: Clause) -> str:
    """Keeps a note of what the wearer says."""
    if not text.strip(" ."):
        raise InputError(Reason.BAD_INPUT, "What is to be remembered?")
    note = context.store.add_note(text.strip(), context.now())
    return f"Noted: {note.text.rstrip('.')}."


@tool(examples=("Where is my seat?", "Read me my notes."), reads_only=True)
def recall(context: ToolContext, about: Topic = "") -> str:
    """Tells what the wearer asked to remember."""
    found = _found(context, about)
    if not found:
        return f"I have no note about {about.strip()}." if about.strip() else "There are no notes."
    more = f" And {len(found) - _SAID} more." if len(found) > _SAID else ""
    return " ".join(f"{note.text.rstrip('.')}." for note in found[:_SAID]) + more


@tool(examples=("Forget my seat.", "Delete my last note."), asks_first=True)
def forget(context: ToolContext, about: Topic = "", all: bool = False) -> str:
    """Deletes a note, or all of them."""
    found = context.store.notes() if all else _found(context, about) if about.strip() else context.store.notes()[:1]
    if not found:
        return f"I have no note about {about.strip()}." if about.strip() else "There are no notes."
    context.store.remove_notes(found)
    return "All notes are deleted." if all else f"Forgotten: {found[0].text.rstrip('.')}."


def _found(context: ToolContext, about: Topic) -> list[Note]:
    """Notes with every telling word of `about`; else those with most of them."""
    notes = context.store.notes()
    if not about.strip():
        return notes
    return [note for note in notes if words.matches(note.text, about)]

"""What the wearer wants remembered, word for word."""

from __future__ import annotations

from glasses.errors import InputError, Reason
from glasses.tools import words
from glasses.tools.kinds import Clause, Topic
from glasses.tools.store import Note
from glasses.tools.tool import ToolContext, tool

_SAID = 3  # notes that are read out at once
_ENOUGH = 0.5  # of the words asked about, in a note that is told; what is forgotten has all of them


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
    found = _found(context, about) or _nearest(context, about)
    if not found:
        return f"I have no note about {about.strip()}." if about.strip() else "There are no notes."
    more = f" And {len(found) - _SAID} more." if len(found) > _SAID else ""
    return "You said: " + " ".join(f"{note.text.rstrip('.')}." for note in found[:_SAID]) + more


def _confirm(context: ToolContext, about: str = "", all: bool = False) -> str:  # as the tool
    found = _meant(context, about, all)
    if not found:
        return ""
    return "Forget all notes: shall I?" if all else f"Forget this: {found[0].text.rstrip('.')}. Shall I?"


@tool(examples=("Forget my seat.", "Delete my last note."), asks_first=True, confirm=_confirm)
def forget(context: ToolContext, about: Topic = "", all: bool = False) -> str:
    """Deletes a note, or all of them."""
    found = _meant(context, about, all)
    if not found:
        return f"I have no note about {about.strip()}." if about.strip() else "There are no notes."
    context.store.remove_notes(found if all else found[:1])
    return "All notes are deleted." if all else f"Forgotten: {found[0].text.rstrip('.')}."


def _meant(context: ToolContext, about: str, all: bool) -> list[Note]:
    """The notes to be forgotten; of several that `about` fits, the newest comes first."""
    return context.store.notes() if all or not about.strip() else _found(context, about)


def _nearest(context: ToolContext, about: Topic) -> list[Note]:
    """Notes with most telling words of `about`, at least half of them: "park my car" is in one about the car."""
    shares = [(words.share_in(note.text, about), note) for note in context.store.notes()]
    most = max((share for share, _ in shares), default=0.0)
    return [note for share, note in shares if share == most] if most >= _ENOUGH else []


def _found(context: ToolContext, about: Topic) -> list[Note]:
    """Notes with every telling word of `about`; all notes where it is empty."""
    notes = context.store.notes()
    if not about.strip():
        return notes
    return [note for note in notes if words.matches(note.text, about)]

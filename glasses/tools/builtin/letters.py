"""Spelling and counting letters, exactly: token models cannot see letters."""

from __future__ import annotations

from glasses.errors import InputError, Reason
from glasses.tools.kinds import Letter, Word
from glasses.tools.tool import ToolContext, tool

MAX_LETTERS = 60


@tool(examples=("How do you spell rhythm?", "Spell queue."), reads_only=True, questions={"word": "Which word?"})
def spell(context: ToolContext, word: Word) -> str:
    """Spells a word, letter by letter."""
    return f"{word.strip()}: {', '.join(letter.upper() for letter in _letters(word))}."


@tool(
    examples=("How many letters has banana?", "How many s are in Mississippi?"),
    reads_only=True,
    questions={"word": "In which word?"},
)
def count_letters(context: ToolContext, word: Word, letter: Letter = "") -> str:
    """Counts the letters of a word, or how often one letter is in it."""
    letters = [one.lower() for one in _letters(word)]
    if not letter.strip():
        return f"{word.strip()} has {len(letters)} letter{'' if len(letters) == 1 else 's'}."
    wanted = next((one for one in reversed(letter.lower().split()) if len(one) == 1), "")
    if not wanted.isalpha():
        raise InputError(Reason.BAD_INPUT, "Which letter?")
    count = letters.count(wanted)
    return f"{word.strip()} has {count} {wanted.upper()}{'' if count == 1 else 's'}."


def _letters(word: str) -> list[str]:
    letters = [one for one in word if one.isalpha()]
    if not 0 < len(letters) <= MAX_LETTERS:
        raise InputError(Reason.BAD_INPUT, "Which word?")
    return letters

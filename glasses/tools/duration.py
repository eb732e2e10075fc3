"""How long something takes, in a speaker's words: "an hour and a half", "ninety seconds", "3 min"."""

from __future__ import annotations

import re

from text_to_num import alpha2digit

from glasses.errors import InputError, Reason

MAX_DURATION_S = 366 * 86_400.0
_UNITS_S = {"second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "m": 60, "hour": 3600, "hr": 3600, "h": 3600}
_UNITS_S |= {"day": 86_400, "week": 7 * 86_400, "fortnight": 14 * 86_400}
_UNIT = "(" + "|".join(sorted(_UNITS_S, key=len, reverse=True)) + r")s?(?![a-z])\.?"
_QUANTITY = rf"(\d+(?:\.\d+)?)\s*(and a half\s+)?{_UNIT}(\s+and a (half|quarter)\b)?"
# A duration inside a sentence: quantities, one after another.
DURATION = re.compile(rf"{_QUANTITY}(?:(?:\s+and|,)?\s*{_QUANTITY})*")
_ONE = re.compile(_QUANTITY)
_FILLER = re.compile(r"\b(?:for|a|an|the|of|about|around|in|from now|please|timer|long)\b|[.,!?]")


def with_digits(words: str) -> str:
    """The words in lower case with numbers as digits, and halves and quarters as decimal numbers of a unit."""
    text = re.sub(r"(?<!\S)-(?=\d)", "minus ", words.lower())
    text = alpha2digit(re.sub(r"\ba couple (?:of )?", "two ", text.replace("-", " ")), "en", threshold=0)
    text = re.sub(r"\b(\d+)\s+(?:and\s+)?a half\b", lambda found: f"{int(found[1])}.5", text)
    text = re.sub(rf"\bhalf an? {_UNIT}", r"0.5 \1", text)
    text = re.sub(rf"\bhalf (?:a )?{_UNIT}", r"0.5 \1", text)
    text = re.sub(r"\b(?:a )?quarter (?:of an |hour of an )?hour\b", "0.25 hour", text)
    text = re.sub(r"\b(?:3|three) quarters? of an hour\b", "0.75 hour", text)
    return re.sub(rf"\b(?:an|a|one) {_UNIT}", r"1 \1", text)


def seconds_of(words: str) -> float:
    """The seconds that `words` name.

    Raises InputError(BAD_INPUT) where they name none, zero, more than a year, or hold something that is not understood.
    """
    text = with_digits(words)
    found = DURATION.search(text)
    if not found:
        raise InputError(Reason.BAD_INPUT, f"no duration in {words!r}: say it as in 'five minutes'")
    if rest := " ".join(_FILLER.sub(" ", text.replace(found[0], " ", 1)).split()):
        raise InputError(Reason.BAD_INPUT, f"{rest!r} in {words!r} is not understood as a duration")
    total = seconds_in(found[0])
    if not 0 < total <= MAX_DURATION_S:
        raise InputError(Reason.BAD_INPUT, f"{words!r} is not a duration between a second and a year")
    return total


def seconds_in(text: str) -> float:
    """The sum of the quantities in a text that `with_digits` made."""
    total = 0.0
    for number, and_half, unit, _, more in _ONE.findall(text):
        share = 0.5 if and_half or more == "half" else 0.25 if more else 0.0
        total += (float(number) + share) * _UNITS_S[unit]
    return total

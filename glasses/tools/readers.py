"""Reads arguments of a kind in the wearer's words: what a tool will understand, and nothing else, is an argument."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from glasses.errors import InputError, Reason
from glasses.tools.builtin import numbers
from glasses.tools.duration import seconds_of, with_digits
from glasses.tools.when import read_day, read_when
from glasses.tools.zones import zone_of

Reader = Callable[[str, datetime], Any]
_SIGNS = " .,;:!?\"'-"
# Words of numbers and times as they are misheard; the second are words of many other meanings, too.
_MISHEARD = {
    "won": "one", "tree": "three", "fore": "four", "fife": "five", "sicks": "six", "ate": "eight", "state": "eight",
    "date": "eight", "aid": "eight", "line": "nine", "nein": "nine", "then": "ten", "tin": "ten", "lemon": "eleven",
    "wealth": "twelve", "well": "twelve", "passed": "past", "pass": "past", "have": "half", "men": "minutes",
    "minute's": "minutes", "our": "hour", "hours'": "hours", "end": "and", "morrow": "tomorrow",
}  # fmt: skip
_SPELLED = frozenset(  # that a slip of the finger may have changed
    "second seconds minute minutes hour hours three four five seven eight nine eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty ninety quarter half past noon midnight today "
    "tonight tomorrow morning afternoon evening night monday tuesday wednesday thursday friday saturday sunday every "
    "january february march april june july august september october november december".split()
)
_LEAST_LETTERS = 4
_OFTEN_MISHEARD = {"for": "four", "to": "two", "too": "two", "in": "an"}
_LETTERS = {
    "ay": "a", "bee": "b", "bees": "b", "see": "c", "sea": "c", "seas": "c", "sees": "c", "cs": "c", "dee": "d",
    "ease": "e", "ef": "f", "effs": "f", "gee": "g", "aitch": "h", "eye": "i", "eyes": "i", "ice": "i",
    "jay": "j", "jays": "j", "kay": "k", "kays": "k", "el": "l", "ells": "l", "els": "l", "elves": "l",
    "em": "m", "ems": "m", "en": "n", "ends": "n", "ens": "n", "oh": "o", "or": "o", "owes": "o", "pea": "p",
    "peas": "p", "pee": "p", "cue": "q", "queue": "q", "cues": "q", "are": "r", "ours": "r", "ars": "r",
    "es": "s", "esses": "s", "tea": "t", "tease": "t", "teas": "t", "tee": "t", "tees": "t", "you": "u",
    "use": "u", "vee": "v", "ex": "x", "exes": "x", "why": "y", "wise": "y", "zee": "z", "zed": "z",
}  # fmt: skip
_LEVELS = {
    "full": 100, "maximum": 100, "max": 100, "highest": 100, "most": 100, "normal": 100, "usual": 100, "half": 50,
    "medium": 50, "middle": 50, "quarter": 25, "minimum": 0, "min": 0, "lowest": 0, "least": 0, "zero": 0,
}  # fmt: skip
_TIMES = {"once": 1, "twice": 2, "thrice": 3, "a": 1, "an": 1}


def bare(words: str) -> str:
    """Without the signs around it."""
    return words.strip(_SIGNS)


def number_of(words: str) -> float:
    """Raises InputError(BAD_INPUT)."""
    text = bare(words).lower()
    if text in ("a", "an", "one"):
        return 1.0
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"^half an?$", "0.5", re.sub(r"^an? (?=\d|hundred|thousand|million|dozen)", "", with_digits(text)))
    if not re.fullmatch(r"(?:minus |-)?\d+(?:\.\d+)?", text):
        raise InputError(Reason.BAD_INPUT, f"{words!r} is no number")
    return float(text.replace("minus ", "-"))


def _level(words: str, now: datetime) -> int:
    del now
    text = re.sub(r"%|\bper ?cent\b|\b(?:the|to|at)\b", " ", bare(words).lower()).strip()
    known = _LEVELS.get(text)
    value = known if known is not None else number_of(text)
    if not 0 <= value <= 200:
        raise InputError(Reason.BAD_INPUT, f"{words!r} is no level in percent")
    return round(value)


def _times(words: str, now: datetime) -> int:
    del now
    text = re.sub(r"\b(?:times?|in a row)\b", "", bare(words).lower()).strip()
    return _TIMES.get(text) or round(number_of(text))


def _letter(words: str, now: datetime) -> str:
    del now
    text = re.sub(r"^(?:the )?(?:letter )?", "", bare(words).lower())
    text = re.sub(r"['\u2019]?s$", "", text) if len(text) in (2, 3) and text not in _LETTERS else text
    letter = _LETTERS.get(text, text)
    if not re.fullmatch(r"[^\W\d_]", letter):
        raise InputError(Reason.BAD_INPUT, f"{words!r} is no letter")
    return letter


def _duration(words: str, now: datetime) -> str:
    del now
    return _heard(bare(words), seconds_of)


def _expression(words: str, now: datetime) -> str:
    del now
    return _heard(bare(words), numbers.value_of)


def _when(words: str, now: datetime) -> str:
    return _heard(_with_clock(bare(words)), lambda text: read_when(text, now))


def _morning(words: str, now: datetime) -> str:
    return _heard(_with_clock(bare(words)), lambda text: read_when(text, now, prefers_morning=True))


def _day(words: str, now: datetime) -> str:
    return _heard(bare(words), lambda text: read_day(text, now))


def _zone(words: str, now: datetime) -> str:
    del now
    return zone_of(re.sub(r"^(?:in|from|to|at|of) ", "", bare(words).lower())).key


def _with_clock(words: str) -> str:
    """ "1030" as the clock that it is where it stands alone: speech without a colon."""
    return re.sub(r"(?<![\d.:])([01]?\d|2[0-4])([0-5]\d)(?![\d.:])(?! (?:minutes|hours|seconds|days))", r"\1:\2", words)


def _heard(words: str, read: Callable[[str], Any]) -> str:
    """The words if they are read, else with what may have been misheard set right. Raises InputError(BAD_INPUT).

    "For" and "to" alone are no times: they stand in every other request.
    """
    tables = ({}, _MISHEARD, _OFTEN_MISHEARD, _MISHEARD | _OFTEN_MISHEARD) if " " in words else ({}, _MISHEARD)
    others = [" ".join(table.get(word.lower(), word) for word in words.split()) for table in tables]
    others += [" ".join(map(_spelled, other.split())) for other in (others[0], others[1])]
    for one in dict.fromkeys((words, *others)):
        with suppress(InputError):
            read(one)
            return one
    raise InputError(Reason.BAD_INPUT, f"{words!r} is not understood")


def _spelled(word: str) -> str:
    """A word of times and numbers that is a letter or two away from this one, else the word itself."""
    if len(word) < _LEAST_LETTERS or word.lower() in _SPELLED:
        return word
    return next(iter(difflib.get_close_matches(word.lower(), _SPELLED, 1, 0.8)), word)


READERS: dict[str, Reader] = {
    "duration": _duration, "when": _when, "morning": _morning, "day": _day, "expression": _expression,
    "letter": _letter, "zone": _zone, "level": _level, "times": _times, "amount": lambda words, now: number_of(words),
}  # fmt: skip


def read(kind: str | None, words: str, now: datetime) -> Any:
    """The value of an argument of this kind: words, or a number. Raises InputError(BAD_INPUT)."""
    reader = READERS.get(kind or "")
    value = reader(words, now) if reader else bare(words)
    if value == "":
        raise InputError(Reason.BAD_INPUT, "no words")
    return value


def prepare() -> None:
    """Loads what reads dates, an eighth of a second."""
    read_day("the fifth of May", datetime(2026, 1, 1))


def means(kind: str | None, value: Any, now: datetime) -> Any:
    """What a value of `read` comes to, to be compared with others: seconds, a time, a result."""
    if kind == "duration":
        return seconds_of(value)
    if kind in ("when", "morning"):
        return read_when(value, now, prefers_morning=kind == "morning")
    if kind == "day":
        return read_day(value, now)
    return numbers.value_of(value) if kind == "expression" else value

"""Regular expressions of a JSON schema, as llama-cpp-python's schema converter reads them rightly.

The converter passes an expression on nearly as it is, so that what means something else in a grammar, or may not stand
within a JSON text, is written otherwise here: sets as the ranges of what they hold, an escaped mark as the mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from glasses.errors import InputError, Reason

MAX_REPEATS = 500  # of characters or items; a higher upper bound is more than an answer holds, and left out
_PART = re.compile(r"\\.|\[\^?(?:\\.|[^\]\\])*\]?|.", re.DOTALL)
_SETS = {"w": "a-zA-Z0-9_", "d": "0-9", "s": r"\x20\t"}
_CONTROLS = {"t": 9, "n": 10, "r": 13}
_NEEDS_BACKSLASH = frozenset("[]()|{}*+?")  # which the converter takes away
# What a JSON text holds only escaped: control characters, quote, backslash; and DEL, which some readers refuse.
_NEVER = [(0, 0x1F), (ord('"'), ord('"')), (ord("\\"), ord("\\")), (0x7F, 0x7F)]
_LAST = 0x10FFFF


def converted(pattern: Any) -> str:
    """`pattern` for the converter. Raises InputError: TOO_LARGE, BAD_INPUT for what a grammar cannot enforce."""
    if not isinstance(pattern, str) or not 0 < len(pattern) <= MAX_REPEATS:
        raise InputError(Reason.BAD_INPUT, f"no regular expression of 1 to {MAX_REPEATS} characters")
    if len(pattern) < 2 or not pattern.startswith("^") or not pattern.endswith("$"):
        raise InputError(Reason.BAD_INPUT, "begin it with ^ and end it with $")
    if any(int(n) > MAX_REPEATS for n in re.findall(r"[{,](\d+)", pattern)):
        raise InputError(Reason.TOO_LARGE, f"at most {MAX_REPEATS} times")
    parts = [_converted(part) for part in _PART.findall(pattern[1:-1])]
    if any(one == "(" and two == "?" for one, two in pairwise(parts)):
        raise InputError(Reason.BAD_INPUT, "(? cannot be enforced")
    if any(one in "*+?}" and two in "?+" for one, two in pairwise(parts)):
        raise InputError(Reason.BAD_INPUT, "a lazy or possessive repetition cannot be enforced")
    text = "".join(parts)
    return f"^({text})$" if "|" in parts else f"^{text}$"


def _converted(part: str) -> str:
    """One part of an expression: a set, an escape or a character."""
    if part.startswith("["):
        return _set(part)
    if part in ("^", "$"):
        raise InputError(Reason.BAD_INPUT, "^ and $ within it cannot be enforced")
    if part in ('"', "\\", r"\\", r"\""):
        raise InputError(Reason.BAD_INPUT, 'a written " or \\ cannot be enforced')
    if not part.startswith("\\"):
        if part < " " or part == "\x7f":
            raise InputError(Reason.BAD_INPUT, "a control character cannot be enforced")
        return part
    if part[1] in _SETS:
        return _set(f"[{_SETS[part[1]]}]")
    if part[1].isalnum():
        raise InputError(Reason.BAD_INPUT, f"{part} cannot be enforced")
    return part if part[1] in _NEEDS_BACKSLASH else "[.]" if part[1] == "." else part[1]


def _set(text: str) -> str:
    """`[...]` as the ranges of a grammar, of what may stand in a JSON text."""
    if not text.endswith("]") or text in ("[]", "[^]"):
        raise InputError(Reason.BAD_INPUT, f"{text[:20]} is no set of characters")
    is_not = text.startswith("[^")
    ranges = sorted(_ranges(text[2 if is_not else 1 : -1]))
    kept = _without([(0, _LAST)], ranges) if is_not else ranges
    kept = _without(kept, _NEVER)
    if not kept:
        raise InputError(Reason.BAD_INPUT, f"{text[:20]} holds nothing that a grammar can enforce")
    return f"[{''.join(_code(a) if a == b else f'{_code(a)}-{_code(b)}' for a, b in kept)}]"


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    """The ranges of a set, by code point, both ends included."""
    parts = re.findall(r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\.|.", text, re.DOTALL)
    while parts:
        first = parts.pop(0)
        if first[0] == "\\" and first[1] in _SETS:
            yield from _ranges(_SETS[first[1]])
        elif len(parts) > 1 and parts[0] == "-" and parts[1][-1] not in _SETS:
            _, last = parts.pop(0), parts.pop(0)
            if _point(last) < _point(first):
                raise InputError(Reason.BAD_INPUT, f"{first}-{last} is no range")
            yield _point(first), _point(last)
        else:
            yield _point(first), _point(first)


def _point(part: str) -> int:
    if len(part) == 1:
        return ord(part)
    if len(part) > 2:
        return int(part[2:], 16)
    if part[1] in _CONTROLS:
        return _CONTROLS[part[1]]
    if part[1].isalnum():
        raise InputError(Reason.BAD_INPUT, f"{part} cannot be enforced")
    return ord(part[1])


def _without(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    for low, high in others:
        ranges = [
            (a, b)
            for one in ranges
            for a, b in ((one[0], min(one[1], low - 1)), (max(one[0], high + 1), one[1]))
            if a <= b
        ]
    return ranges


def _code(point: int) -> str:
    char = chr(point)
    return char if char.isascii() and char.isalnum() else f"\\x{point:02X}" if point < 256 else f"\\U{point:08X}"

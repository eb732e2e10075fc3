"""Numbers between two bounds as grammar rules, which llama-cpp-python's schema converter does not write.

The converter is given a constant in place of such a number, and `insert` puts the rule where the constant stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import ceil, floor
from typing import Any, NamedTuple

from glasses.errors import InputError, Reason

MAX_DIGITS = 15  # as many as a float64 keeps
_FRACTION = ' ("." [0-9]{0,14} [1-9])'  # never 0, so that it lies between two whole numbers


class Bounds(NamedTuple):
    """The least and the greatest whole number that fit, None where there is no bound, and whether fractions do that
    lie between the bounds below them.
    """

    low: int | None
    high: int | None
    least: int | None  # of fractions: all are over it
    most: int | None  # all are under it


def bounds(schema: Mapping[str, Any], kind: str) -> Bounds:
    """The bounds in a schema of `kind` "integer" or "number". Raises InputError(BAD_INPUT) for what is no bound, and
    for fractions as the bounds of a number.
    """
    values: dict[str, float | None] = {}
    for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        value = schema.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 1e15):
            raise InputError(Reason.BAD_INPUT, f"{key} is no number under 1e15")
        if value is not None and kind == "number" and value != int(value):
            raise InputError(Reason.BAD_INPUT, f"{key} {value}: the bounds of a number must be whole")
        values[key] = value
    lows, highs = [], []
    if (value := values["minimum"]) is not None:
        lows.append(ceil(value))
    if (value := values["exclusiveMinimum"]) is not None:
        lows.append(floor(value) + 1)
    if (value := values["maximum"]) is not None:
        highs.append(floor(value))
    if (value := values["exclusiveMaximum"]) is not None:
        highs.append(ceil(value) - 1)
    least = [int(v) for k in ("minimum", "exclusiveMinimum") if (v := values[k]) is not None]
    most = [int(v) for k in ("maximum", "exclusiveMaximum") if (v := values[k]) is not None]
    return Bounds(max(lows, default=None), min(highs, default=None), max(least, default=None), min(most, default=None))


def rule(within: Bounds, kind: str) -> str:
    """A GBNF rule of the numbers within bounds. Raises InputError(BAD_INPUT) where none fits."""
    low, high, least, most = within
    parts = _whole(low, high)
    if kind == "number":
        over = None if most is None else most - 1
        parts += [f"({one}){_FRACTION}" for one in _naturals(max(least or 0, 0), over)]
        below = None if least is None else -least - 1
        parts += [f'"-" ({one}){_FRACTION}' for one in _naturals(max(-(most or 0), 0), below)]
    if not parts:
        raise InputError(Reason.BAD_INPUT, "no number lies within the bounds")
    return f"({' | '.join(parts)}) space"


def placeholder(number: int) -> str:
    """The constant that stands for the rule with this number."""
    return f"number rule {number}"


def insert(grammar: str, rules: Mapping[str, str]) -> str:
    """`grammar` with rules where it has the constants that stand for them."""
    for i, (constant, one) in enumerate(rules.items()):
        literal = json.dumps(json.dumps(constant))  # a JSON string as a literal of the grammar
        grammar = (
            re.sub(rf"(?<!\\){re.escape(literal)}", f"number-within-{i}", grammar) + f"\nnumber-within-{i} ::= {one}"
        )
    return grammar


def _whole(low: int | None, high: int | None) -> list[str]:
    parts = []
    if high is None or high >= 0:
        parts += _naturals(max(low or 0, 0), high)
    if low is None or low < 0:
        parts += [
            f'"-" ({one})' for one in _naturals(max(-high, 1) if high is not None else 1, None if low is None else -low)
        ]
    return parts


def _naturals(low: int, high: int | None) -> list[str]:
    """The alternatives for the whole numbers from `low` (not under 0) to `high`."""
    if high is not None and high < low:
        return []
    n_low, n_high = len(str(low)), MAX_DIGITS if high is None else len(str(high))
    parts = []
    for digits in range(n_low, min(n_high, n_low if high is None else n_high) + 1):
        first, last = (0 if digits == 1 else 10 ** (digits - 1)), 10**digits - 1
        a, b = max(low, first), last if high is None else min(high, last)
        parts += _same_length(str(a), str(b))
    if high is None and n_low < MAX_DIGITS:
        parts.append(f"[1-9] [0-9]{{{n_low},{MAX_DIGITS - 1}}}")
    return parts


def _same_length(low: str, high: str) -> list[str]:
    """The alternatives for numbers of as many digits as `low` and `high` have."""
    rest = len(low) - 1
    if not rest:
        return [f"[{low}-{high}]"]
    if low[0] == high[0]:
        return [f"[{low[0]}] {one}" for one in _same_length(low[1:], high[1:])]
    parts, first, last = [], int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        parts += [f"[{first}] {one}" for one in _same_length(low[1:], "9" * rest)]
        first += 1
    if high[1:] != "9" * rest:
        parts += [f"[{last}] {one}" for one in _same_length("0" * rest, high[1:])]
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}] [0-9]{{{rest}}}")
    return parts

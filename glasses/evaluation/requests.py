"""Everyday requests: is the right tool called, with the right arguments?

Arguments are right where the tool makes the right thing of them: "half an hour" is 1800 seconds however it is worded.
What counts is written in models/eval/requests/README.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from glasses.errors import InputError
from glasses.tools.builtin import numbers
from glasses.tools.duration import seconds_of
from glasses.tools.when import next_after, read_day, read_when

NOW = datetime(2026, 12, 2, 10, 30)  # at which the requests of models/eval/requests are made
_STEPS = {"": 0, "up": 1, "down": -1}
_ARTICLES = frozenset(("a", "an", "the"))


@dataclass(frozen=True, slots=True)
class Request:
    """Words, the tool that they ask for, and its arguments as they are resolved."""

    words: str
    tool: str
    expected: dict[str, Any]


def read_requests(path: Path) -> list[Request]:
    """The requests of a file as models/eval/requests/tools.jsonl."""
    return [Request(*json.loads(line)) for line in path.read_text().splitlines() if line.strip()]


def right_arguments(tool: str, arguments: dict[str, Any], expected: dict[str, Any], now: datetime = NOW) -> bool:
    """Whether `arguments`, as the tool takes them, resolve to `expected`; one that is not expected is wrong.

    `now` is the local time without a zone.
    """
    try:
        resolved = _resolved(tool, {name: value for name, value in arguments.items() if value not in ("", None)}, now)
    except InputError:
        return False
    if resolved.keys() - {"all"} != expected.keys() - {"all"} or resolved.get("all") != expected.get("all"):
        return False
    return all(_right(name, resolved[name], value) for name, value in expected.items())


def _resolved(tool: str, given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What the tool makes of its arguments, by the names that expectations have. Raises InputError."""
    resolve = _RESOLVERS.get(tool)
    out = dict(given) if resolve is None else resolve(given, now)
    return {name: value for name, value in out.items() if value not in (None, False)}


def _set_timer(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    rest = {name: value for name, value in given.items() if name != "duration"}
    return {"duration_s": seconds_of(given.get("duration", "")), **rest}


def _date(given: dict[str, Any], now: datetime) -> dict[str, Any]:

    day = read_day(given["day"], now).date() if "day" in given else now.date()
    return {} if day == now.date() else {"day": day.isoformat()}


def _set_alarm(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    read = read_when(given.get("when", ""), now, prefers_morning=True)
    rest = {name: value for name, value in given.items() if name != "when"}
    return {"when": read.at.isoformat(timespec="minutes"), "repeat": read.repeat, **rest}


def _set_reminder(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    read = read_when(given.get("when", ""), now)
    at = read.at if read.has_clock else read.at + timedelta(hours=9)
    at = next_after(at, read.repeat, now) if read.repeat else at
    return {"when": at.isoformat(timespec="minutes"), "repeat": read.repeat, "text": given.get("text")}


def _cancel_alarm(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    if "when" not in given or given.get("all"):
        return {"all": given.get("all")}
    read = read_when(given["when"], now, prefers_morning=True)
    return {"when": f"{read.at:%H:%M}" if read.has_clock else f"{read.at:%Y-%m-%d}"}


def _all_or(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {"all": True} if given.get("all") else given


def _adjust(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    if "level" in given:  # the device takes the level, whatever else is said
        return {"level": given["level"]}
    return {"change": _STEPS[given.get("change", "")] or None}


def _calculate(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {"result": numbers.value_of(given.get("expression", ""))}


def _convert(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    unit, to = numbers.units_of(given.get("unit", ""), given.get("to", ""))
    return {"amount": given.get("amount"), "unit": unit, "to": to}


def _haptic(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {"times": given.get("times", 1)}


_RESOLVERS: dict[str, Callable[[dict[str, Any], datetime], dict[str, Any]]] = {
    "set_timer": _set_timer, "date": _date, "set_alarm": _set_alarm, "set_reminder": _set_reminder,
    "cancel_alarm": _cancel_alarm, "cancel_timer": _all_or, "cancel_reminder": _all_or, "forget": _all_or,
    "set_volume": _adjust, "set_speed": _adjust, "set_brightness": _adjust, "calculate": _calculate,
    "convert": _convert, "haptic": _haptic,
}  # fmt: skip


def _right(name: str, found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return any(_right(name, found, one) for one in expected)
    if isinstance(expected, bool) or not isinstance(expected, str | int | float):
        return found == expected
    if not isinstance(expected, str):
        return isinstance(found, int | float) and math.isclose(found, expected, rel_tol=1e-3)
    if name in ("about", "name"):
        return f" {_bare(expected)}" in f" {_bare(str(found))}"
    if name in ("unit", "to"):
        return numbers.same_unit(str(found), expected)
    return _bare(str(found)) == _bare(expected)


def _bare(text: str) -> str:
    """The words without case, signs and articles."""
    words = re.findall(r"[a-z0-9]+", text.lower().replace("'", ""))
    return " ".join(word for word in words if word not in _ARTICLES)

"""Changes values of good JSON, because changed bytes of it are mostly no JSON at all and end at its parser."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 1 << 31, -(1 << 63), 1 << 64, 10**40),
    *("", "a", "\0", "\ud83d", "é" * 300, "NaN", "1", [], {}, [[]], [None], [{}], {"": {}}, {"type": "a"}, [1, "a"]),
    *([[[[[[[[]]]]]]]], {"a": {"a": {"a": {"a": 1}}}}, ["a"] * 300, {str(i): i for i in range(300)}),
]


def changed(seeds: Sequence[Any], data: bytes) -> Any:
    """A seed by the first byte; with each two bytes more one of its values becomes an odd one, goes, or comes twice."""
    value: dict[str, Any] = {"": copy.deepcopy(seeds[data[0] % len(seeds)] if data else seeds[0])}
    for where, what in zip(data[1::2], data[2::2], strict=False):
        places = _places(value)
        holder, key = places[where % len(places)]
        if what < 200:
            holder[key] = copy.deepcopy(ODD[what % len(ODD)])
        elif what < 220 and holder is not value:
            del holder[key]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        elif what < 240:
            holder[f"{key}x"] = holder[key]
        else:
            other, name = places[what % len(places)]
            holder[key] = copy.deepcopy(other[name])
    return value[""]


def _places(value: Any) -> list[Any]:
    """(container, key) of every value within, at most 255."""
    out: list[Any] = []
    waiting = [value]
    while waiting and len(out) < 255:
        holder = waiting.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            out.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])
    return out[:255]

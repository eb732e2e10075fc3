"""An evenly spread subset of a held-out set, where all of it would take too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


def spread(items: Sequence[_T], limit: int | None) -> Sequence[_T]:
    """At most `limit` of `items`, evenly spread over them, so that each kind in an ordered set stays in."""
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]

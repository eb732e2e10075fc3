"""Whether what was said asks for the memory: for a sound or a sight that is over, or to be forgotten. Pure.

Judged on the rows that the backbone would be given, soft tokens, with a small head for each wish; no word is ever
chosen. Knows no memory, no encoder and no connector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from glasses.errors import ModelError, Reason
from glasses.events import MemoryIntent
from glasses.heads.linear import Head
from glasses.types import Float32Array

NAMES: tuple[MemoryIntent, ...] = ("sound", "picture", "wipe")  # told from what is said; "repeat" by touch alone


def features(soft: Float32Array) -> Float32Array:
    """Soft tokens (n, n_embd), n > 0 -> (n_embd,): their mean. Their least and most beside it told no more."""
    return soft.mean(axis=0)


class MemoryIntentHead:
    """Soft tokens -> the likeliest wish, "" where none is likely enough."""

    def __init__(self, heads: Mapping[MemoryIntent, Head], space: str) -> None:
        """Raises ModelError(WRONG_SPACE) for heads of another connector's rows than those of `space`."""
        for name, head in heads.items():
            if head.space != space:
                raise ModelError(Reason.WRONG_SPACE, f"the head for {name!r} reads {head.space!r}, given is {space!r}")
        self._heads = heads

    def of(self, soft: Float32Array) -> MemoryIntent:
        """Of (n, n_embd) soft tokens; none of no tokens."""
        if not len(soft):
            return ""
        found = features(soft)
        told = {name: head.probability(found) for name, head in self._heads.items()}
        best = max(told, key=lambda name: told[name], default="")
        return cast(MemoryIntent, best) if best and told[best] >= 0.5 else ""

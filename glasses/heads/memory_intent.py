"""Memory-intent heads: whether speech asks for a sound or a sight that is over, or for everything to be forgotten.

They read the rows (soft tokens) that the backbone would be given, one linear head for each intent; no word is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from glasses.errors import ModelError, Reason
from glasses.events import MemoryIntent
from glasses.heads.linear import Head
from glasses.types import Float32Array

NAMES: tuple[MemoryIntent, ...] = ("sound", "picture", "wipe")  # found in speech; "repeat" comes by double tap only


def features(soft: Float32Array) -> Float32Array:
    """Soft tokens (n, n_embd), n > 0 -> (n_embd,): their mean. Adding their minimum and maximum did not help."""
    return soft.mean(axis=0)


class MemoryIntentHead:
    """Soft tokens -> the likeliest intent, "" where none is likely enough."""

    def __init__(self, heads: Mapping[MemoryIntent, Head], space: str) -> None:
        """Raises ModelError(WRONG_SPACE) for heads of another connector's rows than those of `space`."""
        for name, head in heads.items():
            if head.space != space:
                raise ModelError(Reason.WRONG_SPACE, f"the head for {name!r} reads {head.space!r}, given is {space!r}")
        self._heads = heads

    def of(self, soft: Float32Array) -> MemoryIntent:
        """The intent of (n, n_embd) soft tokens; "" of no tokens."""
        if not len(soft):
            return ""
        found = features(soft)
        told = {name: head.probability(found) for name, head in self._heads.items()}
        best = max(told, key=lambda name: told[name], default="")
        return cast(MemoryIntent, best) if best and told[best] >= 0.5 else ""

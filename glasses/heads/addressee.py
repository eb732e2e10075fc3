"""Whether what was said asks for something, from the encoder's latents: melody and words, most of all the first ones.

It may keep talk that asks for nothing from being answered, where speech alone opens a turn. A question that is put to
somebody else is a question to it. Pure.
"""

from __future__ import annotations

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.heads.linear import Head
from glasses.types import Float32Array, Latents

# Stretches of latents (20 ms each), each averaged: the first words, counted from the beginning of what the encoder was
# given, the last ones, counted back from its end, and the whole.
_FIRST = ((5, 20), (20, 35), (35, 60))
_LAST = ((0, 15), (15, 40))


def features(latents: Float32Array) -> Float32Array:
    """(T, D) -> (6 * D,); stretches that are not there are zero."""
    n = len(latents)
    spans = [*_FIRST, *((n - after, n - first) for first, after in _LAST), (0, n)]
    parts = [latents[max(first, 0) : max(after, 0)] for first, after in spans]
    return np.concatenate(
        [part.mean(axis=0) if len(part) else np.zeros(latents.shape[1], np.float32) for part in parts]
    )


class AddresseeHead:
    """Latents of what was said -> probability that it asks for something."""

    def __init__(self, head: Head, space: str) -> None:
        """Raises ModelError(WRONG_SPACE) for a head of another encoder than the one named by `space`."""
        if head.space != space:
            raise ModelError(Reason.WRONG_SPACE, f"a for-me head for {head.space!r}, the encoder is {space!r}")
        self._head = head

    def __call__(self, said: Latents) -> float:
        """0..1."""
        return self._head.probability(features(said.data))

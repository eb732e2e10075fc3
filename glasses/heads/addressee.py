"""Addressee head: whether speech is a question or a request, from the audio encoder's latents.

Where speech alone starts a turn, it keeps other talk from being answered. It judges melody and words, most of all the
first ones; it cannot tell a question to the assistant from a question to somebody else.
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
    """Latents of speech -> probability that it is addressed to the assistant."""

    def __init__(self, head: Head, space: str) -> None:
        """Raises ModelError(WRONG_SPACE) for a head of another encoder than the one named by `space`."""
        if head.space != space:
            raise ModelError(Reason.WRONG_SPACE, f"an addressee head for {head.space!r}, the encoder is {space!r}")
        self._head = head

    def __call__(self, said: Latents) -> float:
        """0..1."""
        return self._head.probability(features(said.data))

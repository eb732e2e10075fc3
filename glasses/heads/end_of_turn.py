"""End-of-turn head: whether speech is a complete sentence, from the melody, tempo and words at its end.

It is asked when the user pauses, with the sound up to there. It only shortens the wait for more speech; the turn
manager's timers bound that wait in any case.
"""

from __future__ import annotations

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.heads.linear import Head
from glasses.types import Float32Array, Latents

# Stretches of latents (20 ms each) counted back from the end, each averaged: the pause itself, the last syllable, the
# last words, the last second and a half.
_STRETCHES = ((0, 5), (5, 10), (10, 18), (18, 30), (30, 75))


def features(latents: Float32Array) -> Float32Array:
    """(T, D) -> (len(_STRETCHES) * D,); stretches before the beginning are zero."""
    out = []
    for first, after in _STRETCHES:
        part = latents[max(len(latents) - after, 0) : max(len(latents) - first, 0)]
        out.append(part.mean(axis=0) if len(part) else np.zeros(latents.shape[1], np.float32))
    return np.concatenate(out)


class EndOfTurnHead:
    """Latents of speech -> probability that nothing more will come."""

    def __init__(self, head: Head, space: str) -> None:
        """Raises ModelError(WRONG_SPACE) for a head of another encoder than the one named by `space`."""
        if head.space != space:
            raise ModelError(Reason.WRONG_SPACE, f"an end-of-turn head for {head.space!r}, the encoder is {space!r}")
        self._head = head

    def __call__(self, said: Latents) -> float:
        """0..1."""
        return self._head.probability(features(said.data))

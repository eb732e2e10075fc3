"""Whether a voice has just fallen silent, by loudness: some 50 ms before the voice detector is sure. Pure.

Only good for guessing early: a stop within a word looks the same. Whoever guesses assumes that silence follows and is
told when it does not.
"""

from __future__ import annotations

import numpy as np

from glasses.types import Float32Array

FAINT = 0.015  # of the loudest step since speech began (RMS): softer consonants change little in what was understood
ROOM = 1.25  # times the quietest step of late is the room alone
LOUDER = 1.5  # than what was assumed to follow: no silence. 4 of 240 held-out sentences end so
END = 256  # samples, of a step: its end alone tells 11 ms sooner, for 3.0 instead of 2.6 guesses a question
_RISE = 1.01  # a step: the quietest of late is forgotten in some seconds


class SilencePredictor:
    """`step` for every step of sound; `begin` where speech may begin."""

    def __init__(self) -> None:
        self._rms = self._end_rms = self._loudest = self._assumed = 0.0
        self._floor = float("inf")

    def begin(self) -> None:
        """Another turn: how loud a voice is, is not known yet."""
        self._loudest = self._assumed = 0.0

    def step(self, pcm: Float32Array, *, speaks: bool) -> None:
        """Takes float32 (N,), and what the voice detector makes of it."""
        self._rms, self._end_rms = _rms(pcm), _rms(pcm[-END:])
        self._floor = min(self._end_rms, self._floor * _RISE)
        if speaks:
            self._loudest = max(self._loudest, self._rms)

    @property
    def quiet(self) -> bool:
        """Whether the last step ended no louder than a room."""
        return self._loudest > 0 and self._end_rms <= self._room()

    def assume(self) -> None:
        """Silence follows the last step."""
        self._assumed = LOUDER * max(self._end_rms, self._room(), 1e-6)

    @property
    def holds(self) -> bool:
        """Whether the last step was the silence that was assumed."""
        return self._rms <= self._assumed

    def _room(self) -> float:
        return max(FAINT * self._loudest, ROOM * self._floor)


def _rms(pcm: Float32Array) -> float:
    return float(np.sqrt(np.mean(np.square(pcm)))) if len(pcm) else 0.0

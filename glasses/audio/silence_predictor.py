"""Predicts by loudness that a voice has fallen silent, some 50 ms before the voice detector is sure.

A stop within a word looks the same, so a prediction is only good for work that can be thrown away: the caller assumes
that silence follows and is told when it does not.
"""

from __future__ import annotations

import numpy as np

from glasses.types import Float32Array

FAINT_RATIO = 0.015  # of the loudest RMS of the turn: softer consonants change little in what is understood
NOISE_FLOOR_RATIO = 1.25  # below this multiple of the recent minimum RMS a step counts as silence
RESUME_RATIO = 1.5  # a step this much louder than the predicted silence cancels it (4 of 240 held-out sentences do)
STEP_END = 256  # samples at the end of a step that are judged: 11 ms sooner, for 3.0 instead of 2.6 drafts a question
_FLOOR_RISE = 1.01  # a step: the recent minimum is forgotten within some seconds


class SilencePredictor:
    """`step` for every step of sound; `begin` where a turn starts."""

    def __init__(self) -> None:
        self._rms = self._end_rms = self._loudest = self._assumed = 0.0
        self._floor = float("inf")

    def begin(self) -> None:
        """Another turn: how loud its voice is, is not known yet."""
        self._loudest = self._assumed = 0.0

    def step(self, pcm: Float32Array, *, is_speech: bool) -> None:
        """Takes float32 (N,), and the voice detector's verdict on it."""
        self._rms, self._end_rms = _rms(pcm), _rms(pcm[-STEP_END:])
        self._floor = min(self._end_rms, self._floor * _FLOOR_RISE)
        if is_speech:
            self._loudest = max(self._loudest, self._rms)

    @property
    def is_quiet(self) -> bool:
        """Whether the last step ended no louder than the room is, in a turn that somebody has spoken in."""
        return self._loudest > 0 and self._end_rms <= self._silence()

    def assume_silence(self) -> None:
        """The caller assumes that silence follows the last step."""
        self._assumed = RESUME_RATIO * max(self._end_rms, self._silence(), 1e-6)

    @property
    def holds(self) -> bool:
        """Whether the last step was the silence that was assumed."""
        return self._rms <= self._assumed

    def _silence(self) -> float:
        return max(FAINT_RATIO * self._loudest, NOISE_FLOOR_RATIO * self._floor)


def _rms(pcm: Float32Array) -> float:
    return float(np.sqrt(np.mean(np.square(pcm)))) if len(pcm) else 0.0

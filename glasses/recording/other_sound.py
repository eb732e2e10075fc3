"""Sound as other writers record it, of several channels and at any rate, as the microphone would have given it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasses.audio.channels import Levels, levels, weights_of
from glasses.audio.chunker import Chunker
from glasses.types import AudioChunk, Int16Array

MAX_CHANNELS = 32
RATES_HZ = range(8_000, 384_001)
_LEVELS_S = 10.0  # how far back the levels of the channels are remembered


@dataclass(frozen=True, slots=True)
class OtherSound:
    """int16 (N, C) at `rate_hz`; its first frame is of `t_ns`."""

    t_ns: int
    pcm: Int16Array
    rate_hz: int


class OneVoice:
    """Makes one stream of chunks of one channel at 16 kHz of the pieces of a recording, in their order.

    Channels are averaged, but where that would lose the sound (one is wired the other way round, say) the loudest is
    taken.
    """

    def __init__(self) -> None:
        self._form = (0, 0)
        self._given: list[AudioChunk] = []

    def take(self, sound: OtherSound) -> list[AudioChunk]:
        """The chunks that it completes."""
        form = (sound.pcm.shape[1], sound.rate_hz)
        if form != self._form:
            self._form, self._chunker = form, Chunker(self._given.append, sound.rate_hz)
            self._measured = Levels(np.zeros((form[0], form[0])), 0)
        self._measure(sound)
        weights = weights_of(self._measured, lambda candidates: [])
        mono = np.clip(np.rint(sound.pcm @ weights), -32768, 32767).astype(np.int16)
        self._chunker.put(mono, sound.t_ns)
        given, self._given[:] = list(self._given), []
        return given

    def _measure(self, sound: OtherSound) -> None:
        now, before = levels([sound.pcm.astype(np.float32)], self._form[0]), self._measured
        n_before = min(before.frames, round(_LEVELS_S * sound.rate_hz))
        frames = n_before + now.frames
        covariance = (before.covariance * n_before + now.covariance * now.frames) / max(1, frames)
        self._measured = Levels(covariance, frames)

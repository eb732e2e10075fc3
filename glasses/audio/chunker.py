"""Sound of any rate as AudioChunks of 20 ms at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr

from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Int16Array, frozen

CHUNK_MS = 20
_CHUNK = SAMPLE_RATE_HZ * CHUNK_MS // 1000


class Chunker:
    """One stream of a device's sound, int16 at `rate_hz`; each full chunk is given to `put_chunk`."""

    def __init__(self, put_chunk: Callable[[AudioChunk], None], rate_hz: int) -> None:
        self._resampler = (
            None if rate_hz == SAMPLE_RATE_HZ else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16")
        )
        self._put_chunk, self._rest, self._seq = put_chunk, np.zeros(0, np.int16), 0

    def put(self, pcm: Int16Array, t_ns: int) -> None:
        """Takes int16 (N,) whose first sample was heard at `t_ns`."""
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(pcm)
        t_ns -= len(self._rest) * NS_PER_S // SAMPLE_RATE_HZ
        pcm = np.concatenate([self._rest, pcm])
        for first in range(0, len(pcm) - _CHUNK + 1, _CHUNK):
            start_ns = t_ns + first * NS_PER_S // SAMPLE_RATE_HZ
            self._put_chunk(AudioChunk(start_ns, self._seq, frozen(pcm[first : first + _CHUNK].copy()), SAMPLE_RATE_HZ))
            self._seq += 1
        self._rest = pcm[len(pcm) // _CHUNK * _CHUNK :]

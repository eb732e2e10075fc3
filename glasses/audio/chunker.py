"""Splits a device's sound of any rate into AudioChunks of 20 ms at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr

from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Int16Array, frozen

CHUNK_MS = 20
_CHUNK = SAMPLE_RATE_HZ * CHUNK_MS // 1000


class Chunker:
    """Takes one stream of sound, int16 at `rate_hz`, and gives each full chunk to `put_chunk`."""

    def __init__(self, put_chunk: Callable[[AudioChunk], None], rate_hz: int) -> None:
        self._resampler = (
            None if rate_hz == SAMPLE_RATE_HZ else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16")
        )
        self._put_chunk, self._rate_hz = put_chunk, rate_hz
        self._rest = np.zeros(0, np.int16)  # resampled, less than a chunk
        self._n_taken = self._n_given = 0  # samples: taken at `rate_hz`, given at SAMPLE_RATE_HZ

    def put(self, pcm: Int16Array, t_ns: int) -> None:
        """Takes int16 (N,) whose first sample was recorded at `t_ns`."""
        # What was taken and not yet given lies in `_rest` and in the resampler, which withholds some 20 ms.
        held_ns = self._n_taken * NS_PER_S // self._rate_hz - self._n_given * NS_PER_S // SAMPLE_RATE_HZ
        self._n_taken += len(pcm)
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(pcm)
        pcm = np.concatenate([self._rest, pcm])
        for first in range(0, len(pcm) - _CHUNK + 1, _CHUNK):
            start_ns = t_ns - held_ns + first * NS_PER_S // SAMPLE_RATE_HZ
            chunk = frozen(pcm[first : first + _CHUNK].copy())
            self._put_chunk(AudioChunk(start_ns, self._n_given // _CHUNK, chunk, SAMPLE_RATE_HZ))
            self._n_given += _CHUNK
        self._rest = pcm[len(pcm) // _CHUNK * _CHUNK :]

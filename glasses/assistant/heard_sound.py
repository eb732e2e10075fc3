"""The sound of the last turns, and where in it somebody speaks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glasses.audio.ring_buffer import RingBuffer
from glasses.audio.silence_predictor import STEP_END
from glasses.audio.vad import STEP_NS, Vad
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Float32Array


class HeardSound:
    """A ring buffer that a voice activity detector follows step by step."""

    def __init__(self, vad: Vad, seconds: int) -> None:
        """Holds the last `seconds`."""
        self._vad, self._seconds = vad, seconds
        self.forget()

    def forget(self) -> None:
        """Drops every sample."""
        self._vad.reset()
        self.ring = RingBuffer(self._seconds)
        self._n_steps = 0  # of the detector in the ring's stream

    def steps(self, chunk: AudioChunk) -> Iterator[tuple[int, int, float]]:
        """Begin, end and probability of speech of each step of sound that the chunk completes.

        Raises InputError for sound of another rate or type.
        """
        added = self.ring.append(chunk)
        if added is None:  # another stream
            self._vad.reset()
            self._n_steps, added = 0, chunk.pcm
        for probability in self._vad.feed(added):
            from_ns = self.ring.begin_ns + self._n_steps * STEP_NS
            self._n_steps += 1
            yield from_ns, from_ns + STEP_NS, probability

    def padded(self, from_ns: int, to_ns: int, least_ms: int, quiet_ns: int) -> Float32Array:
        """The sound between, float32 (N,), filled up with zeros to `least_ms`, and followed by `quiet_ns` that sound as
        its last 16 ms.
        """
        pcm = self.ring.between(from_ns, to_ns)
        missing = least_ms * SAMPLE_RATE_HZ // 1000 - len(pcm)
        if missing > 0:
            pcm = np.concatenate([pcm, np.zeros(missing, np.float32)])
        if quiet_ns:
            pcm = np.concatenate([pcm, np.resize(pcm[-STEP_END:], quiet_ns * SAMPLE_RATE_HZ // NS_PER_S)])
        return pcm

"""Aligns what was handed to the speaker (the reference) with what the microphone hears, on the host's clock."""

from __future__ import annotations

import numpy as np
import soxr

from glasses.audio.ring_buffer import samples
from glasses.types import NS_PER_MS, NS_PER_S, SAMPLE_RATE_HZ, Int16Array

SLIP = SAMPLE_RATE_HZ // 50  # 20 ms: the reference is placed anew where the two clocks have come this far apart
_SLIP_NS = 20 * NS_PER_MS
_PAUSE_NS = 1000 * NS_PER_MS  # a larger gap between two blocks means that the device was opened anew
_KEPT = 4 * SAMPLE_RATE_HZ  # samples; half of them stay when it is full


class AlignedReference:
    """The last seconds of what was played, int16 at SAMPLE_RATE_HZ; `take` gives them in step with the microphone."""

    def __init__(self, speaker_rate_hz: int) -> None:
        self._rate_hz = speaker_rate_hz
        self._resampler = self._new_resampler()
        self._pcm = np.zeros(0, np.int16)
        self._begin_ns = 0  # time of its first sample
        self._next: int | None = None  # index of the next sample to be taken; None: to be placed by the clock

    @property
    def is_placed(self) -> bool:
        """Whether the microphone's sound is being followed."""
        return self._next is not None

    def add(self, t_ns: int, pcm: Int16Array) -> None:
        """Takes a block int16 (N,) whose first sample was handed over at `t_ns`, in order of time."""
        gap_ns = t_ns - self._begin_ns - len(self._pcm) * NS_PER_S // SAMPLE_RATE_HZ
        if -_PAUSE_NS < gap_ns < -_SLIP_NS:  # callbacks had come late until now: what is held was played sooner too
            self._begin_ns += gap_ns
        elif not -_PAUSE_NS < gap_ns < _PAUSE_NS:
            self._pcm, self._begin_ns, self._next = np.zeros(0, np.int16), t_ns, None
            self._resampler = self._new_resampler()
        elif gap_ns > _SLIP_NS:  # the device ran dry and played nothing for a while
            self._pcm = np.concatenate([self._pcm, np.zeros(samples(gap_ns), np.int16)])
        self._pcm = np.concatenate([self._pcm, self._resampler.resample_chunk(pcm)])

    def trim(self) -> None:
        """Drops the oldest half where more than some seconds are held."""
        if len(self._pcm) > _KEPT:
            cut = len(self._pcm) - _KEPT // 2
            self._pcm, self._begin_ns = self._pcm[cut:], self._begin_ns + cut * NS_PER_S // SAMPLE_RATE_HZ
            self._next = None if self._next is None else self._next - cut

    def pause(self) -> None:
        """Nothing is played any more: the next sound is placed by the clock again."""
        self._next = None

    def take(self, t_ns: int, n: int) -> Int16Array:
        """The int16 (n,) that were handed over while the microphone heard the `n` samples from `t_ns` on."""
        due = samples(t_ns - self._begin_ns)
        if self._next is None or abs(due - self._next) > SLIP:
            self._next = due
        out = np.zeros(n, np.int16)
        part = self._pcm[max(self._next, 0) : max(self._next + n, 0)]
        out[max(self._next, 0) - self._next :][: len(part)] = part
        self._next += n
        return out

    def before(self, n: int) -> Int16Array:
        """At most the `n` samples before the next one to be taken."""
        return self._pcm[max(0, (self._next or 0) - n) : self._next or 0]

    def _new_resampler(self) -> soxr.ResampleStream:
        return soxr.ResampleStream(self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16", quality="LQ")

"""The last seconds of sound, addressed by time."""

from __future__ import annotations

import numpy as np

from glasses.errors import InputError, Reason
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Float32Array, Int16Array

_BRIDGED_NS = NS_PER_S  # a longer hole in the sound is a new stream
_JITTER_NS = 20_000_000  # a chunk's time may be off by this much: sample counting is steadier than a clock
_LEAST_HOLE_NS = 60_000_000  # devices lose sound by the buffer; what is less is a clock placed anew, nothing is lost


def samples(ns: int) -> int:
    """Whole samples in a duration."""
    return ns * SAMPLE_RATE_HZ // NS_PER_S


class RingBuffer:
    """Holds `seconds` of int16 sound; times are those of the first chunk plus the samples since.

    Where the chunks' clock is placed anew, as a busy machine's must be, all that is held moves with it.
    """

    def __init__(self, seconds: int) -> None:
        self._room = seconds * SAMPLE_RATE_HZ
        self._pcm = np.zeros(2 * self._room, np.int16)
        self._begin_ns: int | None = None
        self._n_seen = self._n_held = 0

    @property
    def begin_ns(self) -> int:
        """Time of the stream's first sample."""
        return self._begin_ns or 0

    def append(self, chunk: AudioChunk) -> Int16Array | None:
        """Adds a chunk; returns what was added (the chunk, after silence for a hole), or None: the stream began anew.

        Raises InputError(BAD_INPUT) for another rate or type.
        """
        if chunk.rate_hz != SAMPLE_RATE_HZ or chunk.pcm.dtype != np.int16 or chunk.pcm.ndim != 1:
            form = f"{chunk.pcm.dtype} {chunk.pcm.shape} at {chunk.rate_hz} Hz"
            raise InputError(Reason.BAD_INPUT, f"sound must be int16 (N,) at {SAMPLE_RATE_HZ} Hz, got {form}")
        hole_ns = 0 if self._begin_ns is None else chunk.t_ns - self._ns_of(self._n_seen)
        if self._begin_ns is None or not -_BRIDGED_NS <= hole_ns <= _BRIDGED_NS:
            self._begin_ns, self._n_seen, self._n_held = chunk.t_ns, 0, 0
            self._write(chunk.pcm)
            return None
        hole = samples(hole_ns) if hole_ns > _LEAST_HOLE_NS else 0
        if not hole and abs(hole_ns) > _JITTER_NS:
            self._begin_ns += hole_ns
        added = np.concatenate([np.zeros(hole, np.int16), chunk.pcm])
        self._write(added)
        return added

    def between(self, from_ns: int, to_ns: int) -> Float32Array:
        """The sound of a stretch, float32 (N,) in -1..1, as far as it is still (and already) held."""
        oldest = self._n_seen - self._n_held
        first, after = (
            min(max(samples(t_ns - self.begin_ns), oldest), self._n_seen) - oldest for t_ns in (from_ns, to_ns)
        )
        return self._pcm[first:after].astype(np.float32) / np.float32(32768)

    def _ns_of(self, sample: int) -> int:
        return self.begin_ns + sample * NS_PER_S // SAMPLE_RATE_HZ

    def _write(self, pcm: Int16Array) -> None:
        self._n_seen += len(pcm)
        pcm = pcm[-self._room :]
        if self._n_held + len(pcm) > len(self._pcm):  # full: keep the newest half, rarely, instead of moving each time
            keep = self._room - len(pcm)
            self._pcm[:keep] = self._pcm[self._n_held - keep : self._n_held].copy()
            self._n_held = keep
        self._pcm[self._n_held : self._n_held + len(pcm)] = pcm
        self._n_held += len(pcm)

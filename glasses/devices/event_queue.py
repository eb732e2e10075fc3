"""Sound of any rate as chunks of 20 ms at 16 kHz, and a bounded queue between a device's thread and the listener:
newest wins. Knows no device.

A listener that falls behind loses the oldest sound, never the newest, and the loss is counted: sound that is half a
minute old answers nobody, and an unbounded queue would end the process on a small board.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

import numpy as np
import soxr

from glasses.audio.ring_buffer import RATE_HZ
from glasses.types import AudioChunk, Int16Array, SensorEvent, frozen

CHUNK_MS = 20
_CHUNK = RATE_HZ * CHUNK_MS // 1000


class EventQueue:
    """Many device threads `put`, one listener iterates; at most `most` events wait."""

    def __init__(self, most: int = 250) -> None:  # five seconds of 20 ms chunks
        self._events: deque[SensorEvent] = deque()
        self._most = most
        self._ready = threading.Condition()
        self._closed = False
        self.lost = 0

    def put(self, event: SensorEvent) -> None:
        """Adds an event; the oldest one goes where the queue is full. Never waits longer than another `put`."""
        with self._ready:
            if len(self._events) >= self._most:
                self._events.popleft()
                self.lost += 1
            self._events.append(event)
            self._ready.notify()

    def get(self, timeout_s: float) -> SensorEvent | None:
        """The oldest event, or None where none came in time or the queue is closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._events or self._closed, timeout_s)
            return self._events.popleft() if self._events else None

    def close(self) -> None:
        """Ends iteration once the waiting events are taken."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def __len__(self) -> int:
        return len(self._events)

    def events(self, idle_s: float = 0.2) -> Iterator[SensorEvent | None]:
        """Events until closed; None each `idle_s` in which nothing came, so that the listener can look at the clock."""
        while not (self._closed and not self._events):
            yield self.get(idle_s)


class Chunker:
    """One stream of a device's sound, int16 at `rate_hz`, as AudioChunks in the queue."""

    def __init__(self, queue: EventQueue, rate_hz: int) -> None:
        self._resampler = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="int16")
        self._queue, self._rest, self._seq = queue, np.zeros(0, np.int16), 0

    def put(self, pcm: Int16Array, t_ns: int) -> None:
        """Takes int16 (N,) whose first sample was heard at `t_ns`."""
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(pcm)
        t_ns -= len(self._rest) * 1_000_000_000 // RATE_HZ
        pcm = np.concatenate([self._rest, pcm])
        for first in range(0, len(pcm) - _CHUNK + 1, _CHUNK):
            start_ns = t_ns + first * 1_000_000_000 // RATE_HZ
            self._queue.put(AudioChunk(start_ns, self._seq, frozen(pcm[first : first + _CHUNK].copy()), RATE_HZ))
            self._seq += 1
        self._rest = pcm[len(pcm) // _CHUNK * _CHUNK :]

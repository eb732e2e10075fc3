"""A bounded queue between the devices' threads and the listener.

A listener that falls behind loses the oldest sound or picture, never the newest, and the loss is counted: sound that is
half a minute old answers nobody, and an unbounded queue would end the process on a small board. A button press is never
lost: it is what the user did on purpose, and hands are slow.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from glasses.types import AudioChunk, Button, SensorEvent


class EventQueue:
    """Many device threads `put`, one listener iterates. At most `max_events` wait, button presses beyond that aside."""

    def __init__(self, max_events: int = 250) -> None:  # five seconds of 20 ms chunks
        self._events: deque[SensorEvent] = deque()
        self._max_events = max_events
        self._ready = threading.Condition()
        self._closed = False
        self.n_lost_chunks = self.n_lost_frames = 0

    def put(self, event: SensorEvent) -> None:
        """Adds an event; in a full queue the oldest chunk or frame is dropped for it. Never waits for the listener."""
        with self._ready:
            self._events.append(event)
            if len(self._events) > self._max_events:
                self._drop_oldest()
            self._ready.notify()

    def _drop_oldest(self) -> None:
        for i, event in enumerate(self._events):
            if not isinstance(event, Button):
                del self._events[i]
                if isinstance(event, AudioChunk):
                    self.n_lost_chunks += 1
                else:
                    self.n_lost_frames += 1
                return

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

    def events(self, idle_s: float = 0.2) -> Iterator[SensorEvent | None]:
        """Events until closed; None each `idle_s` in which nothing came, so that the listener can look at the clock."""
        while not (self._closed and not self._events):
            yield self.get(idle_s)

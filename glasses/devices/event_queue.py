"""A bounded queue between the devices' threads and the listener: newest wins.

A listener that falls behind loses the oldest sound, never the newest, and the loss is counted: sound that is half a
minute old answers nobody, and an unbounded queue would end the process on a small board.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from glasses.types import SensorEvent


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

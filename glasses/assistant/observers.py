"""Observers of the pipeline: each is called on a thread of its own, from a bounded queue, and can never stop hearing.

An observer that is slow, or that stands still because a terminal was stopped or a pipe is not read, loses events: of
each type the oldest one goes, never the newest. What it lost is counted, and told to it when it takes events again.
Events of privacy (muted, unmuted, wiped) are never lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from glasses.system.supervised import SupervisedThread
from glasses.types import AudioChunk, DeviceChange, Frame, Wiped

log = logging.getLogger(__name__)

# An observer's table of events: type -> the method that takes it. Events of other types never reach its queue.
Handlers = Mapping[type, Callable[[Any], None]]
MOST_WAITING: Mapping[type, int] = {
    AudioChunk: 250,
    Frame: 2,
}  # events that wait at most: 5 s of sound; pictures are big
MOST_OTHERS_WAITING = 512  # of each other type
IDLE_S = 0.5
CLOSE_S = 2.0  # for all observers together, at the end: systemd waits five seconds for the process


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """Told to an observer before the first event that it takes after it lost `count` events."""

    t_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Told to an observer that wants it when nothing came for IDLE_S."""

    t_ns: int


class Observer(Protocol):
    """Told what happens, on a thread of its own: it may block, and what it raises is logged."""

    name: str

    @property
    def handlers(self) -> Handlers:
        """Which events it wants, and the method for each; an EventsDropped among them tells it of its losses."""
        ...


class FunctionObserver:
    """Calls one function with each event of some types."""

    def __init__(self, function: Callable[[Any], None], *types: type, name: str = "function") -> None:
        self.name = name
        self.handlers: Handlers = dict.fromkeys(types, function)


class ObserverQueue:
    """The events that wait for one observer, and the supervised thread that hands them over."""

    def __init__(self, observer: Observer, *, most_waiting: Mapping[type, int] = MOST_WAITING) -> None:
        self.name, self._handlers, self._most = observer.name, observer.handlers, most_waiting
        self._waiting: deque[Any] = deque()
        self._n_waiting: Counter[type] = Counter()
        self._changed = threading.Condition()
        self._closed = False
        self.n_dropped = self._n_untold = 0
        self._thread = SupervisedThread(self._run, f"observer {self.name}", policy="restart").start()

    def put(self, event: object) -> None:
        """Adds an event; from any thread, and never waits for the observer."""
        kind = type(event)
        if kind not in self._handlers:
            return
        with self._changed:
            if self._n_waiting[kind] >= self._most.get(kind, MOST_OTHERS_WAITING):
                self._drop_oldest(kind)
            self._waiting.append(event)
            self._n_waiting[kind] += 1
            self._changed.notify()

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Takes no more and hands over what waits; False, and the rest is given up, where that takes longer."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.close(timeout_s):
            return True
        log.info("observer %s stands still; %d events are given up", self.name, len(self._waiting))
        return False

    def _drop_oldest(self, kind: type) -> None:
        for i, event in enumerate(self._waiting):
            if type(event) is kind and not _is_private(event):
                del self._waiting[i]
                self._n_waiting[kind] -= 1
                self.n_dropped += 1
                self._n_untold += 1
                return

    def _run(self) -> None:
        on_idle = self._handlers.get(Idle)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed, IDLE_S if on_idle else None)
                event = self._waiting.popleft() if self._waiting else None
                if event is None and self._closed:
                    return
                self._n_waiting[type(event)] -= event is not None
                n_untold, self._n_untold = self._n_untold, 0
            if event is None:
                if on_idle:
                    on_idle(Idle(time.monotonic_ns()))
                continue
            if n_untold and (tell := self._handlers.get(EventsDropped)):
                tell(EventsDropped(time.monotonic_ns(), n_untold))
            self._handlers[type(event)](event)


class Observers:
    """All observers of one pipeline; `publish` is what the pipeline calls."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._queues = [ObserverQueue(observer) for observer in observers]

    def add(self, observer: Observer) -> None:
        """One more, which is told what happens from now on."""
        self._queues.append(ObserverQueue(observer))

    def publish(self, event: object) -> None:
        """Tells every observer that wants it; from any thread, and never waits."""
        for waiting in self._queues:
            waiting.put(event)

    @property
    def n_dropped(self) -> dict[str, int]:
        """Events that each observer lost so far, by its name; only of those that lost any."""
        return {waiting.name: waiting.n_dropped for waiting in self._queues if waiting.n_dropped}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets each take what waits, for CLOSE_S together; who stands still is left behind."""
        until_s = time.monotonic() + CLOSE_S
        for waiting in self._queues:
            waiting.close(max(0.05, until_s - time.monotonic()))


def _is_private(event: object) -> bool:
    """Whether the event says that something is muted or forgotten: no observer may miss it."""
    return isinstance(event, Wiped) or (isinstance(event, DeviceChange) and event.state in ("muted", "unmuted"))

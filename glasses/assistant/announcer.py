"""Watches what falls due in the tools' store, and has it announced: the thread behind timers, alarms and reminders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from glasses.assistant.announcements import Announcement, Announcements
from glasses.system.supervised import SupervisedThread
from glasses.tools import schedule
from glasses.tools.schedule import Clock
from glasses.tools.store import Due, ToolStore

LOOK_S = 1.0  # at the most between two looks: the clock may be set, and other processes set timers
RINGING = ("timer", "alarm")  # they are said again until somebody answers; a reminder is said once


def _now() -> Clock:
    return Clock.read(datetime.now())


class DueQueue:
    """Queues what is due as announcements. It stays due in the store until the wearer was told."""

    def __init__(self, store: ToolStore, announcements: Announcements, clock: Callable[[], Clock] = _now) -> None:
        self._store, self._announcements, self._clock = store, announcements, clock
        self._queued: set[tuple[int, datetime]] = set()  # an id with its time: a repeated one comes again under its id
        self._version: tuple[int, int] | None = None
        self._dues: list[Due] = []

    def look(self) -> float | None:
        """Queues what is due now. Returns the seconds until something else will be, None where nothing is set."""
        if self._version != (version := self._store.version):
            self._version, self._dues = version, self._store.open_dues()
        clock = self._clock()
        left_s = [(schedule.remaining_s(due, clock), due) for due in self._dues if _key(due) not in self._queued]
        for _, due in sorted(((left, due) for left, due in left_s if left <= 0), key=lambda one: one[0]):
            self._queue(due)
        return min((left for left, _ in left_s if left > 0), default=None)

    def _queue(self, due: Due) -> None:
        announcement = Announcement(
            due.kind,
            words=lambda: schedule.announcement(due, self._clock()),
            rings=due.kind in RINGING,
            on_told=lambda: schedule.told(self._store, due, self._clock()),
            is_wanted=lambda: self._is_still_due(due),
        )
        if self._announcements.add(announcement):
            self._queued.add(_key(due))

    def _is_still_due(self, due: Due) -> bool:
        """Not where it was cancelled meanwhile, or the clock was set back: it is queued again when its time comes."""
        found = any(_key(one) == _key(due) for one in schedule.due_now(self._store, self._clock()))
        if not found:
            self._queued.discard(_key(due))
        return found


class Announcer:
    """The thread that looks into a DueQueue, until `close`."""

    def __init__(
        self,
        store: ToolStore,
        announcements: Announcements,
        *,
        clock: Callable[[], Clock] = _now,
        look_s: float = LOOK_S,
    ) -> None:
        self._dues, self._look_s = DueQueue(store, announcements, clock), look_s
        self._closing = threading.Event()
        self._thread = SupervisedThread(self._run, "announcer", policy="restart").start()

    def close(self) -> None:
        """Ends the thread. What was not told stays due."""
        self._closing.set()
        self._thread.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            left_s = self._dues.look()
            self._closing.wait(self._look_s if left_s is None else min(left_s, self._look_s))


def _key(due: Due) -> tuple[int, datetime]:
    return due.id, due.at

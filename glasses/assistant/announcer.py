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


class Announcer:
    """Runs until `close`. What is due is queued, and stays due in the store until the wearer was told."""

    def __init__(
        self,
        store: ToolStore,
        announcements: Announcements,
        *,
        clock: Callable[[], Clock] = _now,
        look_s: float = LOOK_S,
    ) -> None:
        self._store, self._announcements, self._clock, self._look_s = store, announcements, clock, look_s
        self._queued: set[tuple[int, datetime]] = set()  # an id with its time: a repeated one comes again under its id
        self._closing = threading.Event()
        self._thread = SupervisedThread(self._run, "announcer", policy="restart").start()

    def close(self) -> None:
        """Ends the thread. What was not told stays due."""
        self._closing.set()
        self._thread.close()

    def _run(self) -> None:
        version, dues = None, list[Due]()
        while not self._closing.is_set():
            if version != (version := self._store.version):
                dues = self._store.open_dues()
            clock = self._clock()
            left_s = [(schedule.remaining_s(due, clock), due) for due in dues if _key(due) not in self._queued]
            for _, due in sorted(((left, due) for left, due in left_s if left <= 0), key=lambda one: one[0]):
                self._queue(due)
            soonest_s = min((left for left, _ in left_s if left > 0), default=self._look_s)
            self._closing.wait(min(soonest_s, self._look_s))

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


def _key(due: Due) -> tuple[int, datetime]:
    return due.id, due.at

"""Timers, alarms and reminders as they fall due: none is lost and none is told twice, whatever the clock does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from glasses.tools import words
from glasses.tools.store import Due, ToolStore
from glasses.tools.when import next_after

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LATE_S = 60.0  # from here on the wearer is told how late it is


@dataclass(frozen=True, slots=True)
class Clock:
    """The local time without a zone, and the seconds since the machine started, suspended ones too."""

    now: datetime
    boot: str
    boot_s: float

    @classmethod
    def read(cls, now: datetime) -> Clock:
        """`now` with the machine's own clock. Where one start is not told from another, every process counts as one."""
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else f"process {id(Clock)}"
        return cls(now, boot, time.clock_gettime(time.CLOCK_BOOTTIME))


def remaining_s(due: Due, clock: Clock) -> float:
    """Seconds until it is due, negative when it is late."""
    if due.boot == clock.boot and due.boot_s is not None:
        return due.boot_s - clock.boot_s
    return (due.at - clock.now).total_seconds()


def due_now(store: ToolStore, clock: Clock) -> list[Due]:
    """What the wearer must be told now, soonest first. It stays due until `told` is called."""
    late = [(remaining_s(due, clock), due) for due in store.open_dues()]
    return [due for left, due in sorted(late, key=lambda one: one[0]) if left <= 0]


def announcement(due: Due, clock: Clock) -> str:
    """What the wearer is told; where it is late, how late."""
    late_s = -remaining_s(due, clock)
    what = {
        "timer": f"Your {due.text} timer is up." if due.text else "Your timer is up.",
        "alarm": (f"It is {words.clock(due.at)}." if late_s < LATE_S else f"Your alarm for {words.clock(due.at)}.")
        + (f" {due.text}." if due.text else ""),
        "reminder": f"A reminder: {due.text}.",
    }[due.kind]
    return what if late_s < LATE_S else f"{what} That is {words.duration(late_s)} late."


def told(store: ToolStore, due: Due, clock: Clock) -> None:
    """The wearer was told of it, whole. Repetitions that were missed meanwhile are left out."""
    next_at = next_after(due.at, due.repeat, clock.now) if due.repeat else None
    store.mark_said(due, clock.now, next_at)


def add_timer(store: ToolStore, seconds: float, name: str, clock: Clock) -> Due:
    """A timer that begins now."""
    at = clock.now + timedelta(seconds=seconds)
    return store.add_due(Due(0, "timer", name, at, boot=clock.boot, boot_s=clock.boot_s + seconds))

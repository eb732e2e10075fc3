"""A day in which the process is killed and the clock is set: every timer, alarm and reminder is told once."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from glasses.tools.schedule import add_timer, due_now, remaining_s
from glasses.tools.store import Due, ToolStore
from tests.unit.assistant.announced_life import clock_of, live

pytestmark = pytest.mark.slow
WAIT_S = 60.0
STEP_S = 600
DAY_STEPS = 26 * 3600 // STEP_S
N = 60


class Day:
    """The store, the clock, and the process that is alive now."""

    def __init__(self, folder: Path) -> None:
        self.path, self.log = folder / "tools.db", folder / "log"
        self.store = ToolStore(self.path)
        self.log.touch()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.unit.assistant.announced_life"])
        self.times: Any = self._context.RawArray("d", [0.0, 1000.0, 0.0])
        self.life = self._begin()

    def _begin(self) -> BaseProcess:
        life = self._context.Process(target=live, args=(self.path, self.log, self.times), daemon=True)
        life.start()
        return life

    def die(self) -> None:
        self.life.kill()
        self.life.join()

    def live_again(self, *, rebooted: bool) -> None:
        if rebooted:
            self.times[1], self.times[2] = 0.0, self.times[2] + 1
        self.life = self._begin()

    def pass_by(self, seconds: float) -> None:
        self.times[1] += seconds
        self.times[0] += seconds

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def due(self) -> list[Due]:
        return due_now(self.store, clock_of(self.times))

    def wait_for(self, what: Callable[[], Any]) -> None:
        until_s = time.monotonic() + WAIT_S
        while not what():
            assert time.monotonic() < until_s, (self.due(), self.lines[-3:])
            time.sleep(0.002)


def add(day: Day, number: int, chance: random.Random) -> tuple[str, datetime]:
    """One more timer, alarm or reminder: its name, and when it is due. Every eighth is repeated."""
    name, ahead_s = f"item{number:02}", chance.randint(60, 5 * 3600)
    clock = clock_of(day.times)
    if number % 3 == 0:
        add_timer(day.store, ahead_s, name, clock)
    else:
        kind = "alarm" if number % 3 == 1 else "reminder"
        repeat = "daily" if number % 8 == 1 else None
        day.store.add_due(Due(0, kind, name, clock.now + timedelta(seconds=ahead_s), repeat))
    return name, clock.now + timedelta(seconds=ahead_s)


def is_soon(day: Day) -> bool:
    clock = clock_of(day.times)
    return any(0 < remaining_s(due, clock) <= STEP_S for due in day.store.open_dues())


def pass_a_day(day: Day, chance: random.Random) -> tuple[dict[str, datetime], set[str]]:
    """The names of all that was set, with their times, and of those whose sentence a kill cut off."""
    names, cut = dict[str, datetime](), set[str]()
    for step in range(DAY_STEPS):
        if step % 2 == 0 and len(names) < N:
            names |= [add(day, len(names), chance)]
        n_lines, kills = len(day.lines), step % 12 == 5 and is_soon(day)
        day.pass_by(STEP_S)
        if kills:
            day.wait_for(lambda n=n_lines: len(day.lines) > n)
            day.die()
            cut |= {name for name in names if day.lines[-1].startswith("begun") and name in day.lines[-1]}
            day.live_again(rebooted=step % 24 == 5)
        elif step % 12 == 11:  # off for up to two hours
            day.die()
            day.pass_by(chance.randint(1, 12 * STEP_S))
            day.live_again(rebooted=step % 24 == 11)
        elif step % 12 == 8:
            day.times[0] += chance.choice((-1800, 1800))
        day.wait_for(lambda: not day.due() and not (day.lines and day.lines[-1].startswith("begun")))
    return names, cut


def test_announcer_day_with_kills_and_a_clock_that_is_set_tells_all_once(tmp_path: Path) -> None:
    day = Day(tmp_path)
    try:
        names, cut = pass_a_day(day, random.Random(3))
    finally:
        day.die()
    assert len(names) == N
    assert cut, "no kill came in the middle of a sentence: the test proves little"
    told, begun = (
        Counter(name for line in day.lines if line.startswith(what) for name in names if name in line)
        for what in ("told 1 ", "begun ")
    )
    repeated = {due.text: due.at for due in day.store.open_dues()}
    for name in names:
        days = (repeated[name] - names[name]).days if name in repeated else 1
        assert name not in repeated or days in (1, 2)
        assert told[name] == days or (name in cut and told[name] == days - 1), name
        assert told[name] <= begun[name] <= days + (name in cut), name
    assert any(" late." in line for line in day.lines)
    day.store.close()

"""What falls due is told once, whatever happens to the process and the clock."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from glasses.errors import InputError, Reason
from glasses.tools.schedule import Clock, add_timer, announcement, due_now, remaining_s, told
from glasses.tools.store import Due, ToolStore

START = datetime(2026, 3, 4, 6)


def clock(seconds: float, *, boot: str = "a", set_by_s: float = 0) -> Clock:
    return Clock(START + timedelta(seconds=seconds + set_by_s), boot, 100 + seconds)


def test_due_now_of_a_timer_ignores_a_clock_that_is_set() -> None:
    store = ToolStore(":memory:")
    add_timer(store, 300, "tea", clock(0))
    assert due_now(store, clock(299, set_by_s=86_400)) == []
    assert [due.text for due in due_now(store, clock(300, set_by_s=-7200))] == ["tea"]


def test_due_now_of_a_timer_after_a_restart_goes_by_the_wall() -> None:
    store = ToolStore(":memory:")
    add_timer(store, 300, "", clock(0))
    later = clock(200, boot="b")
    assert due_now(store, later) == []
    assert len(due_now(store, clock(301, boot="b"))) == 1


def test_due_now_after_told_is_empty(tmp_path: Path) -> None:
    store = ToolStore(tmp_path / "tools.db")
    store.add_due(Due(0, "reminder", "call Tom", START + timedelta(hours=1)))
    (due,) = due_now(store, clock(3600))
    told(store, due, clock(3600))
    store.close()
    again = ToolStore(tmp_path / "tools.db")
    assert due_now(again, clock(3600, set_by_s=-1800)) == []
    assert due_now(again, clock(9000)) == []


def test_told_of_a_repeated_one_leaves_out_what_was_missed() -> None:
    store = ToolStore(":memory:")
    store.add_due(Due(0, "alarm", "", START, repeat="daily"))
    late = clock(3 * 86_400 + 60)
    (due,) = due_now(store, late)
    told(store, due, late)
    (following,) = store.open_dues()
    assert following.at == START + timedelta(days=4)


def test_announcement_of_what_is_late_says_how_late() -> None:
    due = Due(1, "reminder", "call Tom", START)
    assert announcement(due, clock(2)) == "A reminder: call Tom."
    assert announcement(due, clock(7200)).endswith("That is 2 hours late.")


def test_a_day_with_kills_and_clock_jumps_tells_all_once(tmp_path: Path) -> None:
    """60 timers, alarms and reminders; every so often the process dies, the machine restarts or its clock is set."""
    chance = random.Random(5)
    path, wanted, heard = tmp_path / "tools.db", set(), []
    store, set_by_s, boot = ToolStore(path), 0.0, 0
    for step in range(24 * 60):
        now = clock(step * 60, boot=str(boot), set_by_s=set_by_s)
        if step % 20 == 0 and len(wanted) < 60:
            name, ahead_s = f"thing {step}", chance.randint(60, 4 * 3600)
            if step % 60 == 0:
                add_timer(store, ahead_s, name, now)
            else:
                store.add_due(Due(0, "alarm" if step % 40 else "reminder", name, now.now + timedelta(seconds=ahead_s)))
            wanted.add(name)
        event = chance.random()
        if event < 0.02:  # killed: nothing is closed
            store = ToolStore(path)
        elif event < 0.03:
            boot += 1
        elif event < 0.04:
            set_by_s += chance.randint(-600, 600)
        for due in due_now(store, now):
            heard.append(due.text)
            told(store, due, now)
    end = clock(40 * 3600, boot="z")
    heard += [due.text for due in due_now(store, end)]
    assert len(wanted) == 60
    assert sorted(heard) == sorted(wanted)


def test_remaining_s_of_a_timer_counts_down() -> None:
    store = ToolStore(":memory:")
    due = add_timer(store, 300, "", clock(0))
    assert remaining_s(due, clock(100)) == 200


def test_store_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "tools.db"
    path.write_bytes(b"not a database, but long enough to look at" * 20)
    with pytest.raises(InputError) as caught:
        ToolStore(path)
    assert caught.value.reason is Reason.CORRUPT
    assert path.read_bytes().startswith(b"not a database")


def test_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = ToolStore(tmp_path / "tools.db")
    store._db.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(InputError) as caught:
        ToolStore(tmp_path / "tools.db")
    assert caught.value.reason is Reason.UNSUPPORTED

"""One backbone for the wearer and for guests: who waits for whom, and what is in the cache when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from glasses.backbone.handover import Handover
from glasses.errors import ModelError, Reason

WAIT_S = 10.0


class Cache:
    """A backbone whose cache is a list of names, and whose decode lasts until it is aborted or let go."""

    def __init__(self) -> None:
        self.rows, self.owners = ["prefix"], list[int]()
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.aborted = False

    def own(self) -> None:
        self.owners.append(threading.get_ident())

    def snapshot(self) -> list[str]:
        return list(self.rows)

    def restore(self, saved: list[str]) -> None:
        self.rows = list(saved)

    def abort(self) -> None:
        self.aborted = True

    def clear_abort(self) -> None:
        self.aborted = False

    def feed(self, name: str) -> None:
        self.begun.set()
        until = time.monotonic() + WAIT_S
        while True:
            if self.aborted:
                self.aborted = False
                raise ModelError(Reason.ABORTED, "aborted")
            if self.may_end.wait(0.001):
                break
            assert time.monotonic() < until
        self.rows.append(name)


def shared() -> tuple[Handover, Cache]:
    cache: Any = Cache()
    return Handover(cache), cache


class Guest:
    """A guest's call on a thread of its own."""

    def __init__(
        self, handover: Handover, function: Callable[[], Any], leave: Callable[[], None] = lambda: None
    ) -> None:
        self.result: Any = None
        self._thread = threading.Thread(target=self._run, args=(handover, function, leave), daemon=True)
        self._thread.start()

    def _run(self, handover: Handover, function: Callable[[], Any], leave: Callable[[], None]) -> None:
        try:
            self.result = handover.as_guest(function, leave)
        except ModelError as error:
            self.result = error.reason

    def join(self) -> Any:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self.result


def test_take_while_a_guest_decodes_stops_it_and_brings_the_wearers_rows_back() -> None:
    handover, cache = shared()
    cache.rows.append("a turn")
    saved = list[list[str]]()
    handover.give()
    guest = Guest(handover, lambda: (cache.rows.append("half"), cache.feed("app"))[1], lambda: saved.append(cache.rows))
    cache.begun.wait(WAIT_S)
    handover.take()
    assert cache.rows == ["prefix", "a turn"]
    assert saved == [["prefix", "a turn", "half"]]
    assert not cache.aborted
    cache.may_end.set()
    handover.give()
    guest.join()
    assert cache.rows == ["prefix", "a turn", "half", "app"]
    handover.take()
    assert cache.rows == ["prefix", "a turn"]
    assert cache.owners[-1] == threading.get_ident()


def test_hold_stops_a_guest_and_keeps_others_out_until_release() -> None:
    handover, cache = shared()
    told = list[bool]()
    handover.on_held = told.append
    handover.give()
    guest = Guest(handover, lambda: cache.feed("app"))
    cache.begun.wait(WAIT_S)
    handover.hold()
    until = time.monotonic() + WAIT_S
    while cache.aborted:
        assert time.monotonic() < until
    cache.may_end.set()
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        assert cache.rows == ["prefix"]
        time.sleep(0.01)
    assert handover.is_held
    handover.release()
    guest.join()
    assert cache.rows == ["prefix", "app"]
    assert told == [False, True, False]


def test_hold_that_nobody_repeats_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glasses.backbone.handover.HOLD_S", 0.05)
    handover, cache = shared()
    cache.may_end.set()
    handover.give()
    handover.hold()
    Guest(handover, lambda: cache.feed("app")).join()
    assert cache.rows == ["prefix", "app"]


def test_abort_of_the_wearers_work_is_kept_while_a_guest_works_and_not_given_to_it() -> None:
    handover, cache = shared()
    handover.abort()
    assert cache.aborted
    handover.give()
    cache.may_end.set()
    Guest(handover, lambda: cache.feed("app")).join()
    handover.take()
    assert cache.aborted
    handover.clear_abort()
    assert not cache.aborted


@pytest.mark.parametrize("waits", [False, True])
def test_abort_guest_ends_its_call_whether_it_works_or_waits(waits: bool) -> None:
    handover, cache = shared()
    if not waits:
        handover.give()
    guest = Guest(handover, lambda: cache.feed("app"))
    if not waits:
        cache.begun.wait(WAIT_S)
    handover.abort_guest()
    assert guest.join() is Reason.ABORTED
    handover.clear_guest_abort()
    handover.take()
    assert cache.rows == ["prefix"]
    assert not cache.aborted


def test_close_ends_guests_that_wait_and_lets_none_in() -> None:
    handover, cache = shared()
    waiting = Guest(handover, lambda: cache.feed("app"))
    handover.close()
    assert waiting.join() is Reason.ABORTED
    assert Guest(handover, lambda: cache.feed("app")).join() is Reason.ABORTED
    assert cache.rows == ["prefix"]


def test_as_guest_error_of_its_own_is_raised_and_lets_the_wearer_in() -> None:
    handover, _ = shared()
    handover.give()

    def fail() -> None:
        raise ModelError(Reason.CONTEXT_FULL, "full")

    assert Guest(handover, fail).join() is Reason.CONTEXT_FULL
    handover.take()

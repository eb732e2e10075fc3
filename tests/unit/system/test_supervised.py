"""A worker thread that dies is logged and reported, and is restarted or ends the process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from glasses.system.supervised import Policy, SupervisedThread, failed_threads, failure_line
from glasses.system.watchdog import Notifier, Watchdog


class ForeignError(BaseException):
    """An exception that no `except Exception` catches."""


def raising(error: BaseException) -> Callable[[], None]:
    def target() -> None:
        raise error

    return target


@pytest.fixture
def started() -> Iterator[Callable[..., SupervisedThread]]:
    """Starts threads, and closes them after the test."""
    threads: list[SupervisedThread] = []

    def start(target: Callable[[], None], *, policy: Policy = "report", **options: object) -> SupervisedThread:
        threads.append(SupervisedThread(target, "worker", policy=policy, **options).start())  # pyright: ignore[reportArgumentType]
        return threads[-1]

    yield start
    for thread in threads:
        thread.close()
    assert not failed_threads()


@pytest.mark.parametrize("error", [ValueError("broken"), ForeignError("worse"), SystemExit(3), MemoryError()])
def test_supervised_thread_of_any_exception_is_logged_and_reported(
    error: BaseException, started: Callable[..., SupervisedThread], caplog: pytest.LogCaptureFixture
) -> None:
    thread = started(raising(error))
    assert thread.join(5)
    assert not thread.alive
    assert thread.failure is error
    assert failed_threads() == [thread]
    assert failure_line() == f"thread worker failed 1x: {error!r}"
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info
    assert record.exc_info[1] is error


def test_supervised_thread_that_returns_has_not_failed(started: Callable[..., SupervisedThread]) -> None:
    thread = started(lambda: None)
    assert thread.join(5)
    assert thread.failure is None
    assert not failed_threads()


def test_supervised_thread_let_go_by_its_owner_is_still_reported() -> None:
    SupervisedThread(raising(ValueError()), "orphan").start().join(5)
    (thread,) = failed_threads()
    assert thread.name == "orphan"
    thread.close()
    assert not failed_threads()


def test_supervised_thread_with_restart_runs_again_until_closed(started: Callable[..., SupervisedThread]) -> None:
    runs, again = [], threading.Event()

    def target() -> None:
        runs.append(threading.get_ident())
        if len(runs) == 3:
            again.set()
        raise OSError("the disk is full")

    thread = started(target, policy="restart", first_pause_s=0.001)
    assert again.wait(5)
    assert thread.alive
    assert thread.n_failures >= 2
    assert isinstance(thread.failure, OSError)
    assert thread.close(5)
    assert not thread.alive
    assert len(set(runs)) == 1


def test_supervised_thread_tells_on_failure_and_survives_what_that_raises(
    started: Callable[..., SupervisedThread],
) -> None:
    told: list[BaseException] = []

    def on_failure(error: BaseException) -> None:
        told.append(error)
        raise RuntimeError("of the observer")

    error = ValueError("broken")
    thread = started(raising(error), on_failure=on_failure)
    assert thread.join(5)
    assert told == [error]
    assert thread.failure is error


def test_supervised_thread_is_reported_where_the_log_fails(
    started: Callable[..., SupervisedThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("glasses.system.supervised.log.critical", broken)
    thread = started(raising(ValueError()))
    assert thread.join(5)
    assert failed_threads() == [thread]


@pytest.mark.parametrize(("policy", "pinged"), [("end", "WATCHDOG=trigger"), ("report", "WATCHDOG=1")])
def test_watchdog_after_a_thread_failed_triggers_or_says_degraded(
    policy: Policy, pinged: str, started: Callable[..., SupervisedThread]
) -> None:
    sent: list[str] = []

    class Recording(Notifier):
        def send(self, **fields: str | int) -> None:
            sent.append(" ".join(f"{name}={value}" for name, value in fields.items()))

    notifier = Recording(None)
    watchdog = Watchdog(notifier, {"listener": (60.0, 60.0)}, ping_s=0.0)
    watchdog.progress("listener")
    thread = started(raising(ValueError("broken")), policy=policy)
    assert thread.join(5)
    watchdog.progress("listener")
    watchdog.progress("listener")
    assert sent[0] == "WATCHDOG=1"
    assert pinged in sent[1]
    assert "thread worker" in sent[1]
    assert sent[2] == sent[1] if policy == "end" else sent[2] == "WATCHDOG=1"
    assert watchdog.hung() == (["thread worker"] if policy == "end" else [])

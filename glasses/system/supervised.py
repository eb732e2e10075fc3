"""Worker threads that cannot die unseen.

Every long-lived thread of the package is a SupervisedThread. What ends its target, an exception of any type, is
logged with its traceback and kept in `failure`; what happens then is the thread's `Policy`. The watchdog, the page and
the service's status line read `failed_threads`, so nobody has to poll the threads one by one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # before a restart; doubles with each failure
PROVEN_S = 60.0  # a target that ran for so long begins again at FIRST_PAUSE_S

# "restart": the target is called again after a pause. "end": the process cannot go on without it: `on_failure` is to
# stop it, and the watchdog has systemd restart it. "report": the thread stays dead, which is reported.
Policy = Literal["restart", "end", "report"]

_failed: set[SupervisedThread] = set()  # held here until their owners close them, even where those have let them go
_failed_lock = threading.Lock()


class SupervisedThread:
    """Runs `target` in a daemon thread. A target that returns has ended well; one that raises has failed."""

    def __init__(
        self,
        target: Callable[[], object],
        name: str,
        *,
        policy: Policy = "report",
        on_failure: Callable[[BaseException], None] | None = None,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        """`on_failure` is called in the dying thread after each failure; what it raises is logged."""
        self.name, self.policy = name, policy
        self.failure: BaseException | None = None  # the newest; stays after a restart
        self.n_failures = 0
        self._target, self._on_failure, self._first_pause_s = target, on_failure, first_pause_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> SupervisedThread:
        """Starts it; returns itself, so that it can be made and started in one expression."""
        self._thread.start()
        return self

    @property
    def alive(self) -> bool:
        """Whether the thread runs, or waits for its restart."""
        return self._thread.is_alive()

    @property
    def ident(self) -> int | None:
        """The thread's identifier, as threading.get_ident gives it; None before `start`."""
        return self._thread.ident

    def close(self, timeout_s: float | None = 5.0) -> bool:
        """Forbids restarts and waits for the target to return; whoever calls it has told the target to end.

        A failure that was reported until now is no longer. False where the target still runs after `timeout_s`. Safe
        to call twice, before `start`, and from the thread itself.
        """
        self._closing.set()
        with _failed_lock:
            _failed.discard(self)
        return self.join(timeout_s)

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits for the thread to end; False where it still runs after `timeout_s`."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause_s = self._first_pause_s
        while True:
            began_s = time.monotonic()
            try:
                self._target()
                return
            except BaseException as error:  # SystemExit too: in a thread Python swallows it without a word
                self._failed(error)
            if self.policy != "restart":
                return
            pause_s = self._first_pause_s if time.monotonic() - began_s >= PROVEN_S else pause_s
            if self._closing.wait(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        self.n_failures += 1
        with _failed_lock:
            if not self._closing.is_set():
                _failed.add(self)
        with suppress(Exception):  # a log handler that fails must not hide the failure from `failed_threads`
            log.critical("thread %s failed: %r", self.name, error, exc_info=error)
        if self._on_failure is not None:
            try:
                self._on_failure(error)
            except Exception:
                log.exception("thread %s: on_failure failed", self.name)


def failed_threads() -> list[SupervisedThread]:
    """Threads of this process that have failed and are not closed, by name; restarted ones too."""
    with _failed_lock:
        return sorted(_failed, key=lambda thread: thread.name)


def failure_line() -> str:
    """One line on the failed threads for a status; empty where all is well."""
    return "; ".join(f"thread {one.name} failed {one.n_failures}x: {one.failure!r}" for one in failed_threads())

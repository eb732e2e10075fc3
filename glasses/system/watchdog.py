"""Tells systemd that the service is ready and alive, fed by the progress of its stages and by nothing else.

There is no timer: `progress` itself pings, and only while every stage that was declared has made progress within its
own budget. When one stage hangs the others' progress sees it and says so, for which systemd does not wait for the
watchdog to run out; when all hang nobody calls. A budget follows the board: SLACK times the longest that the stage was
seen to take, within what was declared.

The protocol is sd_notify(3), which asks to be spoken without a library: datagrams to the socket in $NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from glasses.system.supervised import failed_threads, failure_line

_DEFAULT_PING_S = 1.0
SLACK = 4.0
DEGRADED = "degraded"  # a status that begins so says that a thread has failed; `glasses check` warns of it

Budget = tuple[float, float]  # seconds without progress after which a stage hangs: on any board, and on the slowest


class Notifier:
    """The socket to systemd; does nothing where there is none."""

    def __init__(self, address: str | None) -> None:
        """`address` is a path, or one of the abstract namespace that begins with @."""
        self._address = None if not address else ("\0" + address[1:] if address.startswith("@") else address)
        self._socket = (
            None if self._address is None else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        )

    @classmethod
    def from_environment(cls) -> Notifier:
        """As systemd started this process; the variable is taken out, so that children do not speak for it."""
        return cls(os.environ.pop("NOTIFY_SOCKET", None))

    def send(self, **fields: str | int) -> None:
        """One datagram of NAME=value lines; lost without a word if nobody listens, as with sd_notify itself."""
        if self._socket is not None and self._address is not None:
            message = "\n".join(f"{name}={value}".replace("\n", " ") for name, value in fields.items())
            with suppress(OSError):  # a manager that restarts; the watchdog itself decides what silence means
                self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)

    def close(self) -> None:
        """Closes the socket."""
        if self._socket is not None:
            self._socket.close()


class Watchdog:
    """`progress(stage)` from every stage, from any thread."""

    def __init__(
        self,
        notifier: Notifier,
        budgets_s: Mapping[str, Budget],
        *,
        ping_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`budgets_s`: how long each stage may be without progress, at the least and at the most. Pings every `ping_s`,
        by default a third of the time systemd gave (WATCHDOG_USEC).
        """
        given_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
        self._ping_s = ping_s if ping_s is not None else given_s / 3 or _DEFAULT_PING_S
        self._notifier, self._budgets_s, self._clock = notifier, dict(budgets_s), clock
        self._last_s = dict.fromkeys(budgets_s, clock())
        self._longest_s = dict.fromkeys(budgets_s, 0.0)
        self._pinged_s, self._starving = float("-inf"), False
        self._failure_line = ""  # as it was sent
        self._lock = threading.Lock()

    def ready(self, status: str, *, grace_s: Mapping[str, float] | None = None) -> None:
        """The service does its work from now on; a stage of `grace_s` may take so much longer to begin."""
        now_s = self._clock()
        with self._lock:
            self._last_s = {stage: now_s + (grace_s or {}).get(stage, 0.0) for stage in self._budgets_s}
        self._notifier.send(READY=1, STATUS=status, MAINPID=os.getpid())

    def stopping(self, status: str) -> None:
        """It is going down on purpose."""
        self._notifier.send(STOPPING=1, STATUS=status)

    def status(self, text: str) -> None:
        """One line for `systemctl status` and `glasses check`."""
        self._notifier.send(STATUS=text)

    def progress(self, stage: str) -> None:
        """This stage did a piece of its work. Raises KeyError for a stage that was not declared."""
        with self._lock:
            now_s = self._clock()
            self._longest_s[stage] = max(self._longest_s[stage], now_s - self._last_s[stage])
            self._last_s[stage] = now_s
            hung = self._hung(now_s)
            if now_s - self._pinged_s < self._ping_s and self._starving == bool(hung):
                return
            self._pinged_s, self._starving = now_s, bool(hung)
            before, self._failure_line = self._failure_line, failure_line()
            line = self._failure_line
        if hung:
            self._notifier.send(STATUS=f"no progress: {', '.join(hung)}", WATCHDOG="trigger")
        elif line != before:
            self._notifier.send(STATUS=f"{DEGRADED}: {line}" if line else "listening", WATCHDOG=1)
        else:
            self._notifier.send(WATCHDOG=1)

    def hung(self) -> list[str]:
        """Stages over their budget now, and failed threads that the process cannot go on without."""
        with self._lock:
            return self._hung(self._clock())

    def budget_s(self, stage: str) -> float:
        """How long this stage may be without progress, by what it has taken so far."""
        least_s, most_s = self._budgets_s[stage]
        return min(max(least_s, SLACK * self._longest_s[stage]), most_s)

    def _hung(self, now_s: float) -> list[str]:
        stages = [stage for stage, last_s in self._last_s.items() if now_s - last_s > self.budget_s(stage)]
        return stages + [f"thread {thread.name}" for thread in failed_threads() if thread.policy == "end"]

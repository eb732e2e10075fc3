"""Messages of sd_notify over a real socket, and when the watchdog is fed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from glasses.system.watchdog import Notifier, Watchdog


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The socket systemd would hold, and its address as it is put into NOTIFY_SOCKET."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@glasses-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as held:
        held.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        held.setblocking(False)
        yield held, address


def received(held: socket.socket) -> list[str]:
    out = []
    with suppress(BlockingIOError):
        while True:
            out.append(held.recv(4096).decode())
    return out


class Clock:
    """A clock that the test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_watchdog_ready_and_stopping_are_sent_as_systemd_reads_them(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, address = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notifier = Notifier.from_environment()
    assert "NOTIFY_SOCKET" not in os.environ
    watchdog = Watchdog(notifier, {"listen": (1.0, 1.0)})
    watchdog.ready("listening\nforged=1")
    watchdog.stopping("bye")
    notifier.close()
    assert received(held) == [f"READY=1\nSTATUS=listening forged=1\nMAINPID={os.getpid()}", "STOPPING=1\nSTATUS=bye"]


def test_watchdog_stage_that_hangs_stops_the_pings(manager: tuple[socket.socket, str]) -> None:
    held, address = manager
    clock = Clock()
    notifier = Notifier(address)
    watchdog = Watchdog(notifier, {"listen": (1.0, 1.0), "answer": (5.0, 5.0)}, ping_s=0.5, clock=clock)
    for _ in range(10):  # both work, 0.2 s a round
        watchdog.progress("listen")
        watchdog.progress("answer")
        clock.now_s += 0.2
    assert received(held) == ["WATCHDOG=1"] * 4
    clock.now_s += 6.0  # nobody calls: nothing is sent, for there is no timer
    assert received(held) == []
    watchdog.progress("listen")
    watchdog.progress("listen")  # said once in a ping's time, not each time
    assert received(held) == ["STATUS=no progress: answer\nWATCHDOG=trigger"]
    assert watchdog.hung() == ["answer"]
    watchdog.progress("answer")
    watchdog.progress("listen")
    assert received(held) == ["WATCHDOG=1"]
    notifier.close()


def test_watchdog_hang_is_sent_at_once_and_not_at_the_next_ping(manager: tuple[socket.socket, str]) -> None:
    held, address = manager
    clock = Clock()
    notifier = Notifier(address)
    watchdog = Watchdog(notifier, {"listen": (1.0, 1.0), "answer": (2.0, 2.0)}, ping_s=10.0, clock=clock)
    told_s = []
    for _ in range(30):
        watchdog.progress("listen")
        told_s += [clock.now_s - 100] * sum("trigger" in said for said in received(held))
        clock.now_s += 0.1
    notifier.close()
    assert told_s == [pytest.approx(2.1)]


def test_watchdog_budget_follows_the_board_between_its_bounds() -> None:
    clock = Clock()
    watchdog = Watchdog(Notifier(None), {"answer": (1.0, 5.0)}, clock=clock)
    for taken_s, may_s in ((0.1, 1.0), (0.5, 2.0), (0.1, 2.0), (2.0, 5.0)):
        clock.now_s += taken_s
        watchdog.progress("answer")
        assert watchdog.budget_s("answer") == pytest.approx(may_s)


def test_watchdog_stage_with_a_grace_time_hangs_only_after_it() -> None:
    clock = Clock()
    watchdog = Watchdog(Notifier(None), {"listen": (1.0, 1.0), "answer": (1.0, 1.0)}, clock=clock)
    watchdog.ready("listening", grace_s={"answer": 10.0})
    clock.now_s += 10.9
    assert watchdog.hung() == ["listen"]
    clock.now_s += 0.2
    assert watchdog.hung() == ["listen", "answer"]


def test_watchdog_pings_three_times_in_the_time_systemd_gives(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, address = manager
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    clock, notifier = Clock(), Notifier(address)
    watchdog = Watchdog(notifier, {"listen": (1.0, 1.0)}, clock=clock)
    for _ in range(30):
        watchdog.progress("listen")
        clock.now_s += 0.1
    assert received(held) == ["WATCHDOG=1"] * 3
    notifier.close()


def test_watchdog_undeclared_stage_raises_and_no_manager_is_fine() -> None:
    watchdog = Watchdog(Notifier(None), {"listen": (1.0, 1.0)})
    watchdog.progress("listen")
    with pytest.raises(KeyError):
        watchdog.progress("dance")
    alone = Notifier("/nonexistent/notify")
    alone.send(READY=1)
    alone.close()

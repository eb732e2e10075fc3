"""A blocked observer stops nothing: everything that is said is heard, and the watchdog is fed."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from glasses.recording.entries import Answered, Decision
from glasses.replay.session import entries_of

pytestmark = pytest.mark.models
PATIENCE_S = 120.0
WATCHDOG_S = 2.0  # WatchdogSec of hardware/glasses.service
SHORT, LONG = 1, 16  # questions; about 4 s each


class Service:
    """Runs tests/faults/talking_run.py with a watchdog like systemd's; standard output and error go to `output`."""

    def __init__(self, folder: Path, n_questions: int, output: int, *options: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        self._said = folder / "said"
        self.pings_s, self.complaints = list[float](), list[str]()
        self._n_questions = n_questions
        env = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6)),
            "TALKING_RUN_SAID": str(self._said),
            "XDG_RUNTIME_DIR": str(folder),
        }
        command = [sys.executable, "-m", "tests.faults.talking_run", str(n_questions), *options]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def listen(self) -> None:
        """Reads the messages that were sent to the watchdog."""
        with suppress(BlockingIOError):
            while True:
                message = self._socket.recv(4096).decode()
                self.pings_s += [time.monotonic()] if message == "WATCHDOG=1" else []
                self.complaints += [message] if "trigger" in message or "degraded" in message else []

    def until_all_is_said(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not (self._said.exists() and self._said.read_text() == str(self._n_questions)):
            assert time.monotonic() < until_s, "the questions were not said"
            assert self.process.poll() is None, f"it ended with {self.process.poll()}"
            self.listen()
            time.sleep(0.05)
        until_s = time.monotonic() + 2.5  # to be decided and answered
        while time.monotonic() < until_s:
            self.listen()
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """(read end, write end) of a full pipe."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"\n" * size)
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            with suppress(OSError):
                os.close(end)


@contextmanager
def open_terminal() -> Iterator[tuple[int, int]]:
    """(master, slave) of a pseudo-terminal."""
    keyboard, terminal = os.openpty()
    try:
        yield keyboard, terminal
    finally:
        for end in (keyboard, terminal):
            with suppress(OSError):
                os.close(end)


def check(service: Service, recordings: Path, n_questions: int) -> None:
    """Asserts that every question was decided on and answered, and that the watchdog was always fed."""
    assert service.complaints == []
    waits_s = [after - before for before, after in zip(service.pings_s, service.pings_s[1:], strict=False)]
    assert waits_s
    assert max(waits_s) < WATCHDOG_S
    entries = list(entries_of(recordings))
    decided = {entry.turn_id for entry in entries if isinstance(entry, Decision)}
    answered = {entry.turn_id for entry in entries if isinstance(entry, Answered) and entry.text}
    assert len(decided) == n_questions
    assert len(answered) == n_questions


QUESTIONS = pytest.mark.parametrize("n_questions", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])


@QUESTIONS
def test_run_json_into_a_pipe_nobody_reads_hears_everything_said(tmp_path: Path, n_questions: int) -> None:
    recordings = tmp_path / "recordings"
    with (
        full_pipe() as (reading, writing),
        Service(tmp_path, n_questions, writing, "--json", "--record", str(recordings)) as service,
    ):
        os.close(writing)
        service.until_all_is_said()
        assert service.stop() == 0
        text = b""
        while more := os.read(reading, 65536):
            text += more
    check(service, recordings, n_questions)
    assert text.strip() == b"", "it was not blocked"


@QUESTIONS
def test_run_stopped_terminal_and_unread_pages_hears_everything_said(tmp_path: Path, n_questions: int) -> None:
    recordings = tmp_path / "recordings"
    with ExitStack() as stack:
        keyboard, terminal = stack.enter_context(open_terminal())
        options = ("--dashboard", "127.0.0.1:0", "--record", str(recordings))
        service = stack.enter_context(Service(tmp_path, n_questions, terminal, *options))
        printed = b""
        while not (found := re.search(rb"http://([\d.]+):(\d+)/\?token=(\S+)\s", printed)):
            printed += os.read(keyboard, 4096)
        os.write(keyboard, b"\x13")  # Ctrl-S
        for _ in range(3):  # pages that ask for events and never read one
            page = stack.enter_context(socket.create_connection((found[1].decode(), int(found[2]))))
            page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            page.sendall(b"GET /events?token=" + found[3] + b" HTTP/1.1\r\nHost: " + found[1] + b"\r\n\r\n")
        service.until_all_is_said()
        assert service.stop() == 0
        os.set_blocking(keyboard, False)
        with suppress(BlockingIOError, OSError):
            printed += os.read(keyboard, 4096)
    check(service, recordings, n_questions)
    assert b"listening to you" not in printed, "it was not stopped"

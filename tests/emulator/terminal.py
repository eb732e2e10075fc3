"""Runs a `glasses` command in a pseudo-terminal, types keys and reads its output as a person would."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from types import TracebackType
from typing import Any

_PATIENCE_S = 60.0  # a busy machine starts Python slowly
_START = """\
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal, and a password prompt finds its terminal
from glasses.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class Terminal:
    """A running command: `with Terminal("link", ...) as terminal`. `said`: all its output so far."""

    def __init__(self, *words: str) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
        self._slave = slave  # kept open, so that its settings can be looked at after the end
        self._before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )
        self.said = self._unread = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def expect(self, pattern: str) -> re.Match[str]:
        """Waits until the output since the last match contains the pattern, and consumes the match."""
        end_s = time.monotonic() + _PATIENCE_S
        while not (match := re.search(pattern, self._unread)):
            ended = self.process.poll() is not None
            assert self._read(1.0) or (not ended and time.monotonic() < end_s), (
                f"no {pattern!r}: {self._unread[-2000:]}"
            )
        self._unread = self._unread[match.end() :]
        return match

    def type(self, keys: str) -> None:
        """Types keys."""
        os.write(self._master, keys.encode())

    def finish(self) -> int:
        """Waits for the end, reads the rest of the output, and returns the exit code."""
        end_s = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < end_s, f"it does not end: {self.said[-2000:]!r}"
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.returncode

    @property
    def restored(self) -> bool:
        """Whether settings and cursor are as they were before."""
        settings: list[Any] = termios.tcgetattr(self._slave)
        return settings == self._before and self.said.rfind("\x1b[?25l") <= self.said.rfind("\x1b[?25h")

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._master], [], [], timeout_s)[0]:
            return False
        data = os.read(self._master, 65_536).decode(errors="replace")
        self.said += data
        self._unread += data
        return True

"""Logging that never stops whoever logs: a thread writes, and lines that nobody reads are dropped."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from glasses.commands.log_setup import FORMAT
from glasses.system.supervised import SupervisedThread

MOST_WAITING = 1000  # lines; of more the oldest go
CLOSE_S = 1.0


class _WaitingHandler(logging.Handler):
    """Formats a record at once and leaves writing it to a thread; the oldest lines go where that stands still."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self._lines: deque[str] = deque(maxlen=MOST_WAITING)
        self._changed = threading.Condition()
        self._ending = False
        self._thread = SupervisedThread(self._run, "log", policy="restart").start()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        with self._changed:
            self._lines.append(line)
            self._changed.notify()

    def end(self) -> None:
        """Writes what waits; gives up where nobody reads it."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.close(CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._ending)
                if not self._lines:
                    return
                line = self._lines.popleft()
            with suppress(OSError):  # nobody can be told
                write_unbuffered(2, f"{line}\n")


def write_unbuffered(descriptor: int, text: str) -> None:
    """Writes all of `text` past Python's buffer, whose lock a writer that stands still would hold for ever.

    Raises OSError.
    """
    waiting = text.encode()
    while waiting:
        waiting = waiting[os.write(descriptor, waiting) :]


@contextmanager
def logging_on_a_thread() -> Iterator[None]:
    """While this lasts, no thread that logs waits for standard error: a stopped terminal stops nobody."""
    root = logging.getLogger()
    before = [handler for handler in root.handlers if getattr(handler, "stream", None) is sys.stderr]
    waiting = _WaitingHandler()
    for handler in before:
        root.removeHandler(handler)
    root.addHandler(waiting)
    try:
        yield
    finally:
        root.removeHandler(waiting)
        for handler in before:
            root.addHandler(handler)
        waiting.end()

"""Logging of the command line: a level for each package, and writing that never stops whoever logs.

$GLASSES_LOG holds PACKAGE=LEVEL, separated by commas: `assistant=debug,devices=info`. A level alone is for all of
`glasses`; `llama_cpp` is what the C++ library says.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from glasses.errors import InputError, Reason
from glasses.system.supervised import SupervisedThread

FORMAT = "%(levelname)s %(message)s"
MOST_WAITING = 1000  # lines; of more the oldest go
CLOSE_S = 1.0
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(*, verbose: bool, environ: Mapping[str, str] = os.environ) -> None:
    """Sets the levels. Raises InputError(BAD_INPUT) for a $GLASSES_LOG that means nothing."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format=FORMAT)
    if not verbose:
        # llama.cpp calls it an error when a draft that was overtaken is aborted; what is one is raised as well.
        logging.getLogger("glasses.llama_cpp").setLevel(logging.CRITICAL)
    for name, level in levels(environ.get("GLASSES_LOG", "")).items():
        logging.getLogger(name).setLevel(level)


def levels(text: str) -> dict[str, int]:
    """Logger names with their levels, from what $GLASSES_LOG holds. Raises InputError(BAD_INPUT)."""
    found: dict[str, int] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        package, equals, level = one.rpartition("=")
        if level.lower() not in _LEVELS or (equals and not package):
            known = ", ".join(_LEVELS)
            raise InputError(
                Reason.BAD_INPUT, f"$GLASSES_LOG: {one!r}: PACKAGE=LEVEL, as assistant=debug; levels are {known}"
            )
        found[f"glasses.{package}" if package else "glasses"] = _LEVELS[level.lower()]
    return found


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
            _write(f"{line}\n".encode())


def _write(waiting: bytes) -> None:
    """Past Python's buffer, whose lock a writer that stands still would hold when the process ends."""
    try:
        while waiting:
            waiting = waiting[os.write(2, waiting) :]
    except OSError:  # nobody can be told
        return


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

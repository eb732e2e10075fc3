"""The file by which a command finds this user's `glasses run`, and by which that process confirms a wipe.

The running process holds a lock on the file, so that a number left by a dead process is never taken for a live one.
The file holds two whole numbers: the process id, and the CLOCK_MONOTONIC time up to which everything was forgotten.
It lies in $RUNTIME_DIRECTORY (systemd), else $XDG_RUNTIME_DIR, else the user's state folder: never in a folder where
other users may put files. Imports nothing heavy: `glasses wipe` starts with this module alone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glasses.errors import GlassesError, InputError, Reason

WIPE = signal.SIGRTMIN  # "forget everything", sent to the running process
CONFIRM_S = 10.0  # how long `request_wipe` waits; a wipe takes milliseconds, a swapping board some seconds
_POLL_S = 0.02
_LOCK_TRIES = 10  # a command that reads the file holds a shared lock on it for a moment
_MAX_BYTES = 64  # two numbers


def process_file_path() -> Path:
    """Where the file of this user's running process lies; it need not exist.

    Raises InputError(NOT_FOUND) where this user has no home folder and no folder for runtime files.
    """
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "STATE_DIRECTORY"):
        folder = Path(os.environ.get(name, "").split(":")[0])
        if folder.is_absolute():
            return folder / "glasses-run.pid"
    from glasses.folders import state_folder  # noqa: PLC0415  # `wipe` seldom needs it

    return state_folder() / "glasses" / "glasses-run.pid"


class ProcessFile:
    """The running process's side: makes it findable, and confirms wipes."""

    def __init__(self) -> None:
        self._file: int | None = None
        self._lock = threading.Lock()  # the file is not closed while another thread writes to it

    @contextmanager
    def published(self) -> Iterator[None]:
        """While this lasts, `running_pid` finds this process. A second process of the same user is not found.

        Install the handler of WIPE before: its default action ends the process.
        Raises InputError: REFUSED where the file is a link or another user's, BAD_INPUT where it cannot be written.
        """
        path = process_file_path()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = open_own_file(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise InputError(
                Reason.BAD_INPUT, f"cannot write {path}: {error.strerror}; set XDG_RUNTIME_DIR to a folder of yours"
            ) from error
        try:
            if not _lock(file):
                yield
                return
            _write(file, 0)
            self._file = file
            try:
                yield
            finally:
                with self._lock:
                    self._file = None
            os.ftruncate(file, 0)
        finally:
            os.close(file)

    def confirm_wipe(self, since_ns: int) -> None:
        """Records that everything from before `since_ns` (time.monotonic_ns) is forgotten."""
        with self._lock:
            if self._file is not None:
                _write(self._file, since_ns)


def request_wipe(timeout_s: float = CONFIRM_S) -> int:
    """Makes the running process forget everything, waits until it has, returns its process id.

    A process that ends meanwhile has forgotten too: its memory was all in RAM.
    Raises InputError: NOT_FOUND, REFUSED as `running_pid` does. GlassesError(TIMEOUT) without a confirmation.
    """
    pid, _ = _read()
    asked_ns = time.monotonic_ns()
    try:
        os.kill(pid, WIPE)
        while time.monotonic_ns() < asked_ns + timeout_s * 1e9:
            now_pid, wiped_ns = _read()
            if now_pid != pid or wiped_ns >= asked_ns:
                return pid
            time.sleep(_POLL_S)
    except (InputError, ProcessLookupError):
        return pid  # it has ended
    raise GlassesError(
        Reason.TIMEOUT,
        f"glasses run (pid {pid}) has not confirmed within {timeout_s:g} s that it has forgotten: stop it (kill {pid})",
    )


def running_pid() -> int:
    """The process id of this user's `glasses run`.

    Raises InputError: NOT_FOUND where none runs, REFUSED where its file is a link or another user's.
    """
    return _read()[0]


def is_running() -> bool:
    """Whether this user's `glasses run` runs. Raises InputError(REFUSED) as `running_pid` does."""
    try:
        return running_pid() > 0
    except InputError as error:
        if error.reason is Reason.NOT_FOUND:
            return False
        raise


def _read() -> tuple[int, int]:
    """Process id and the time up to which it has wiped. Raises as `running_pid` does."""
    path = process_file_path()
    try:
        file = open_own_file(path, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, wiped_ns = os.pread(file, _MAX_BYTES, 0).split()
            return int(pid), int(wiped_ns)
        finally:
            os.close(file)
    except (OSError, ValueError):
        pass  # no file, or none that is locked and complete: no such process, which is said below
    raise InputError(Reason.NOT_FOUND, f"no `glasses run` of this user runs (looked at {path})")


def open_own_file(path: Path, flags: int) -> int:
    """Opens a plain file of this user. Raises InputError(REFUSED) for anything else, OSError."""
    if path.is_symlink():
        raise InputError(Reason.REFUSED, f"{path} is a symbolic link: not used; remove it")
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
        os.close(file)
        raise InputError(Reason.REFUSED, f"{path} is not a plain file of this user: not used; remove it")
    os.fchmod(file, 0o600)
    return file


def _write(file: int, wiped_ns: int) -> None:
    """Fixed width and one call, so that a reader sees the old text or the new one."""
    os.pwrite(file, f"{os.getpid():<10} {wiped_ns:<20}\n".encode(), 0)


def _lock(file: int) -> bool:
    """Whether this process now holds the only lock."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL_S)
        else:
            return True
    return False

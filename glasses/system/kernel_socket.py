"""The Unix socket of this user's running glasses, by which apps reach it: beside the process file.

Its mode is 0600 and its folder belongs to this user alone, so that only this user's programs connect. A lock file tells
a socket that a dead process left behind from that of a living one. Imports nothing heavy.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from glasses.errors import InputError, Reason
from glasses.system.process_file import open_own_file, process_file_path

NAME = "glasses.sock"
_BACKLOG = 32
_LONGEST = 107  # bytes of a path in a socket address, the zero at its end not counted (unix(7))


def kernel_socket_path() -> Path:
    """Where it lies; it need not exist. Raises InputError as `process_file_path`."""
    return process_file_path().with_name(NAME)


def kernel_address() -> str | None:
    """The address for clients, `unix:PATH`, of a service that listens there now; None where none does."""
    try:
        path = kernel_socket_path()
        if not _is_own_socket(path):
            return None
    except (InputError, OSError):
        return None
    return f"unix:{path}" if _is_answered(path) else None


@contextmanager
def bound(path: Path | None = None) -> Iterator[socket.socket]:
    """The listening socket, for as long as this lasts; at `path` instead of the kernel's own.

    Raises InputError: BUSY where another process of this user listens there, REFUSED where the folder or what lies
    there is not this user's alone, BAD_INPUT where it cannot be made.
    """
    path = path or kernel_socket_path()
    _check_folder(path.parent)
    if len(os.fsencode(path)) > _LONGEST:
        raise InputError(Reason.BAD_INPUT, f"{path} is too long for a socket: set XDG_RUNTIME_DIR to a shorter folder")
    with ExitStack() as stack:
        try:
            _lock(path, stack)
            made = _listen(path, stack)
        except OSError as error:
            raise InputError(Reason.BAD_INPUT, f"cannot listen on {path}: {error.strerror or error}") from error
        yield made


def _lock(path: Path, stack: ExitStack) -> None:
    lock = open_own_file(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    stack.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _taken(path) from error


def _listen(path: Path, stack: ExitStack) -> socket.socket:
    if path.is_symlink() or path.exists():
        if not _is_own_socket(path):
            raise InputError(Reason.REFUSED, f"{path} is no socket of this user: not used; remove it")
        if _is_answered(path):
            raise _taken(path)
        path.unlink()
    made = stack.enter_context(socket.socket(socket.AF_UNIX))
    before = os.umask(0o177)
    try:
        made.bind(str(path))
    finally:
        os.umask(before)
    stack.callback(_unlink, path, path.lstat().st_ino)
    made.listen(_BACKLOG)
    made.setblocking(False)
    return made


def _unlink(path: Path, inode: int) -> None:
    with suppress(FileNotFoundError):
        if path.lstat().st_ino == inode:  # else it is somebody else's by now
            path.unlink()


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot use {folder}: {error.strerror}; set XDG_RUNTIME_DIR") from error
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InputError(
            Reason.REFUSED, f"{folder} is not this user's alone: set XDG_RUNTIME_DIR to a folder of yours (chmod 700)"
        )


def _is_own_socket(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISSOCK(found.st_mode) and found.st_uid == os.geteuid()


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(path)) == 0


def _taken(path: Path) -> InputError:
    return InputError(Reason.BUSY, f"{path}: another process of this user serves apps there already")

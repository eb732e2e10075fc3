"""What all readers of users' files share: the checks of a path, and notes.

A note says in words what a reader found missing, or did without, where it could still read the rest. It is no error:
the value is there, and whoever asked for it is told what to think of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from glasses.errors import InputError, Reason

OnNote = Callable[[str], None]

_log = logging.getLogger(__name__)


def log_note(note: str) -> None:
    """Where notes go unless the caller takes them: to the log, as a warning."""
    _log.warning("%s", note)


def regular_file(path: str | Path) -> Path:
    """`path` where it is a file that can be read. Raises InputError: NOT_FOUND, BAD_INPUT (what it is instead)."""
    path = Path(path)
    if path.is_dir():
        raise InputError(Reason.BAD_INPUT, f"{path} is a folder; name a file in it")
    if not path.exists():
        raise InputError(Reason.NOT_FOUND, f"there is no file {path}; check the name and the folder")
    if not path.is_file():
        raise InputError(Reason.BAD_INPUT, f"{path} is a device or a pipe; save it to a file first")
    if not os.access(path, os.R_OK):
        raise InputError(Reason.BAD_INPUT, f"{path} may not be read by this user; change its permissions")
    if path.stat().st_size == 0:
        raise InputError(Reason.BAD_INPUT, f"{path} is empty (0 bytes); record or copy it again")
    return path


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises InputError: TOO_LARGE over `max_bytes`, BAD_INPUT (what the disk said)."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{path} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise InputError(Reason.TOO_LARGE, f"{path} has over {max_bytes:,} bytes; make it smaller")
    return data

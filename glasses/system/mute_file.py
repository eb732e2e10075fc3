"""Keeps that the wearer muted, so that a process that dies and is started again does not listen again by itself.

A flag in this user's state folder ($STATE_DIRECTORY of systemd, else $XDG_STATE_HOME), which outlives a reboot too: who
closed the microphone opens it again, nobody else. The file says nothing but that, and is gone once it is opened.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder
from glasses.system.process_file import open_own_file

log = logging.getLogger(__name__)
NAME = "glasses-muted"


def mute_file_path() -> Path:
    """Where the flag lies; it need not exist. Raises InputError(NOT_FOUND) where this user has no folder for it."""
    return own_state_folder() / NAME


def is_kept() -> bool:
    """Whether it was muted when it last ran.

    Raises InputError: REFUSED where the flag is a link or another user's, BAD_INPUT where it cannot be looked at.
    """
    path = mute_file_path()
    try:
        os.close(open_own_file(path, os.O_RDONLY))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot read {path}: {error.strerror}; remove it") from error
    return True


def keep(muted: bool) -> None:
    """Sets or removes the flag. It is on the disk when this returns; a folder that refuses is logged, not raised."""
    try:
        path = mute_file_path()
        if not muted:
            path.unlink(missing_ok=True)
            _sync(path.parent)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = open_own_file(path, os.O_WRONLY | os.O_CREAT)
        os.fsync(file)
        os.close(file)
        _sync(path.parent)
    except (OSError, InputError) as error:
        log.error("%s, but a restart will not know it: %s", "muted" if muted else "not muted", error)


def _sync(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

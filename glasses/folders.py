"""The user's own folders, by the XDG base directory specification: configuration, cache and state.

A variable that is not set, is empty or holds a relative path does not count, as the specification says. But for
`pictures_folder` nothing here looks at the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from glasses.errors import InputError, Reason

_MAX_USER_DIRS = 10_000  # characters


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's home folder. Raises InputError(NOT_FOUND) where neither $HOME nor the system's user list has one."""
    if given := environ.get("HOME"):
        return Path(given).absolute()
    try:
        return Path.home().absolute()
    except RuntimeError as error:
        raise InputError(
            Reason.NOT_FOUND, f"user {os.getuid()} has no home folder: set HOME to a folder of yours"
        ) from error


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_CONFIG_HOME, else ~/.config. Raises InputError as `home` does."""
    return _absolute(environ.get("XDG_CONFIG_HOME")) or home(environ) / ".config"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_CACHE_HOME, else ~/.cache. Raises InputError as `home` does."""
    return _absolute(environ.get("XDG_CACHE_HOME")) or home(environ) / ".cache"


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_STATE_HOME, else ~/.local/state. Raises InputError as `home` does."""
    return _absolute(environ.get("XDG_STATE_HOME")) or home(environ) / ".local" / "state"


def own_state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this program's own state lies: $STATE_DIRECTORY of systemd, else `glasses` in `state_folder`."""
    given = _absolute(environ.get("STATE_DIRECTORY", "").split(":")[0])
    return given or state_folder(environ) / "glasses"


def pictures_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's folder for pictures, as their desktop has it ($XDG_PICTURES_DIR in user-dirs.dirs), else ~/Pictures.

    A service without a home ($STATE_DIRECTORY) has one in its state. Raises InputError as `home` does.
    """
    if environ.get("STATE_DIRECTORY"):
        return own_state_folder(environ) / "pictures"
    try:
        text = (config_folder(environ) / "user-dirs.dirs").read_text(errors="replace")[:_MAX_USER_DIRS]
    except OSError:
        text = ""
    named = re.search(r'^XDG_PICTURES_DIR="(?:\$HOME/)?([^"]+)"', text, re.MULTILINE)
    return home(environ) / named[1] if named else home(environ) / "Pictures"


def expanded(path: Path | str, environ: Mapping[str, str] = os.environ) -> Path:
    """`path` with a leading ~ replaced, of this user or of a named one. Raises InputError(NOT_FOUND)."""
    first, *rest = Path(path).parts or (".",)
    if first == "~":
        return home(environ).joinpath(*rest)
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(Reason.NOT_FOUND, f"{path}: there is no user {first[1:]}") from error


def _absolute(given: str | None) -> Path | None:
    path = Path(given) if given else None
    return path if path and path.is_absolute() else None

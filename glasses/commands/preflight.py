"""Looks at what a command will need at its end before it begins: a minute's work must not be lost to a typing error."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from glasses.errors import InputError, Reason


def output_file(option: str, path: Path, suffix: str = "", sources: Iterable[Path | str] = ()) -> None:
    """Tries to write beside `path`, which may be none of `sources`, nor a link to one or a file within one.

    Raises InputError: NOT_FOUND (no such folder, not writable), BAD_INPUT.
    """
    if suffix and path.suffix.lower() != suffix:
        raise InputError(Reason.BAD_INPUT, f"{option} {path}: it writes {suffix} files, so let the name end so")
    _try(option, path, path.parent)
    if path.is_dir():
        raise InputError(Reason.BAD_INPUT, f"{option} {path} is a folder")
    for source in map(Path, sources):
        if _is_in(path, source):
            raise InputError(
                Reason.BAD_INPUT, f"{option} {path} is what is read here; it would be lost: give another name"
            )


def output_folder(option: str, path: Path) -> None:
    """Makes the folder and tries to write in it. Raises InputError: BAD_INPUT, NOT_FOUND (not writable)."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{option} {path}: cannot make the folder: {error.strerror}") from error
    _try(option, path, path)


def later_folder(option: str, path: Path) -> None:
    """As `output_folder`, but makes nothing: the nearest folder above that exists is tried."""
    above = path
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise InputError(Reason.BAD_INPUT, f"{option} {path}: {above} is a file, not a folder")
    _try(option, path, above)


def input_folders(option: str, paths: Sequence[Path]) -> None:
    """Opens each. Raises InputError: NOT_FOUND, BAD_INPUT (a file, or not readable)."""
    for path in paths:
        try:
            os.scandir(path).close()
        except FileNotFoundError as error:
            raise InputError(Reason.NOT_FOUND, f"{option} {path}: there is no such folder") from error
        except OSError as error:
            raise InputError(Reason.BAD_INPUT, f"{option} {path}: {error.strerror}") from error


def _is_in(path: Path, source: Path) -> bool:
    """Whether `path` leads to a file that is `source`, or lies in that folder."""
    try:
        return any(path.samefile(one) for one in (source.iterdir() if source.is_dir() else (source,)))
    except OSError:  # one of them is not there, or not for us to see
        return False


def _try(option: str, path: Path, folder: Path) -> None:
    try:
        tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".try").close()
    except OSError as error:
        raise InputError(Reason.NOT_FOUND, f"{option} {path} cannot be written: {error.strerror}") from error

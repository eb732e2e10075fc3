"""The keys of paired glasses on disk: one file for each address, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path

from glasses import folders
from glasses.errors import InputError, Reason

_KEY_BYTES = 32
_MOST_BYTES = 1024  # of a file that holds 64 hex digits


def folder() -> Path:
    """The default folder of keys. Raises InputError(NOT_FOUND) where this user has no home folder."""
    return folders.config_folder() / "glasses" / "links"


def path_of(keys: Path, address: str) -> Path:
    """The file of one address; a serial port's speed is not part of it."""
    address = address.removeprefix("serial:").removeprefix("tcp:")
    address = address.split("@")[0] if address.startswith("/") else address
    return keys / (address.strip("/").replace("/", "_").replace(":", "_") + ".key")


def read(path: Path) -> bytes | None:
    """The key, 32 bytes; None without a file. Raises InputError: CORRUPT, BAD_INPUT (not readable)."""
    try:
        with path.open("rb") as file:
            key = bytes.fromhex(file.read(_MOST_BYTES).decode("ascii"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(Reason.CORRUPT, f"{path}: no key; pair again: glasses link pair ADDRESS") from error
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: {error.strerror}") from error
    if len(key) != _KEY_BYTES:
        raise InputError(Reason.CORRUPT, f"{path}: no key; pair again: glasses link pair ADDRESS")
    return key


def keep(path: Path, key: bytes) -> None:
    """Writes the key, whole or not at all. Raises InputError(BAD_INPUT) where the folder cannot be written."""
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.hex() + "\n")
        part.rename(path)
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: the key cannot be kept: {error.strerror}") from error

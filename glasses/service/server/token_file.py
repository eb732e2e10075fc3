"""Reads the bearer token of a service from its file. Needs nothing of the extra `service`."""

from __future__ import annotations

from pathlib import Path

from glasses.errors import InputError, Reason

MAX_CHARS = 4096


def read_token(path: Path) -> str:
    """Returns the first line of the file. Raises InputError: NOT_FOUND (also if it cannot be read), TOO_LARGE."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline(MAX_CHARS + 1)
    except OSError as error:
        raise InputError(Reason.NOT_FOUND, f"cannot read the token in {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(Reason.NOT_FOUND, f"cannot read the token in {path}: it is not text") from error
    if len(line) > MAX_CHARS:
        raise InputError(Reason.TOO_LARGE, f"{path}: its first line is over {MAX_CHARS} characters, so no token")
    return line.strip()

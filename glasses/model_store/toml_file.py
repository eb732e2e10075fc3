"""Reads the TOML files of the model store, and says what is wrong with them."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glasses.errors import InputError, ModelError, Reason

MAX_TOML_BYTES = 256 << 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # one path component: no separator, no leading dot


def unknown(kind: str, name: str, known: str) -> ModelError:
    close = difflib.get_close_matches(name, known.split(", "), n=1)
    meant = f", did you mean {close[0]}?" if close else ""
    return ModelError(Reason.NOT_FOUND, f"unknown {kind} {name!r}{meant}; known: {known}")


def of_user(find: Callable[..., list[Any]], *given: str) -> list[Any]:
    """What `find` finds; nothing for a user without a home folder."""
    try:
        return find(*given)
    except InputError:
        return []


def known_names(shipped: Path, names: Callable[[], list[str]]) -> str:
    return ", ".join(of_user(names) or sorted(path.stem for path in shipped.glob("*.toml"))) or "none"


def where_of(path: Path, shipped: Path, folder: str) -> str:
    """How messages name a file: as it is in the repository, else in full."""
    return f"{folder}/{path.name}" if path.parent == shipped else str(path)


def read_toml(path: Path, name: str) -> dict[str, Any]:
    if path.stat().st_size > MAX_TOML_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over {MAX_TOML_BYTES >> 10} KiB; a manifest has a page")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, numbers of thousands of digits, deep nesting
        raise ModelError(Reason.BAD_INPUT, f"{path} is not TOML: {error}") from error
    if table.get("name") != name:
        said = table.get("name")
        raise ModelError(Reason.BAD_INPUT, f"{path}: name is {said!r}, must be {name!r} as the file's or its folder's")
    return table


def check_keys(table: dict[str, Any], needed: set[str], allowed: set[str], where: str) -> None:
    if missing := needed - table.keys():
        raise ModelError(Reason.BAD_INPUT, f"{where}: lacks {', '.join(sorted(missing))}")
    if unknown := table.keys() - allowed:
        raise ModelError(Reason.BAD_INPUT, f"{where}: unknown {', '.join(sorted(unknown))}")
    for key, value in table.items():
        if key not in ("files", "sources", "size_bytes") and not isinstance(value, str):
            raise ModelError(Reason.BAD_INPUT, f"{where}: {key} must be a string")

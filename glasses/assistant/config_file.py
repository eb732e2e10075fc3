"""Reads AssistantConfig from TOML files and the command line, and says for each value where it comes from.

In rising order: the defaults of config.py, $GLASSES_BOARD, the system's file, the user's file, the command line.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from glasses import folders
from glasses.assistant.config import ACTIVATIONS, FORMER_ACTIVATIONS, MAX_MEMORY_MIN, AssistantConfig
from glasses.errors import InputError, Reason
from glasses.tools.mcp.config import read_allow, read_servers

MAX_FILE_BYTES = 64 * 1024
MAX_FOLDERS = 16  # of documents
MAX_PERSONAS = 8  # each keeps the state of its system prompt, up to a megabyte
MAX_SHOWN = 80  # characters of a wrong value in an error
FILE_NAME = "glasses.toml"  # of the system's file, in each of $GLASSES_CONFIG_DIRS
BUILT_IN, COMMAND_LINE = "built in", "command line"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """`config`, and for each key of it where its value comes from: a file, COMMAND_LINE, $GLASSES_BOARD or BUILT_IN."""

    config: AssistantConfig
    sources: Mapping[str, str]


def system_paths(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where the system's file may lie, the most important last: /etc, or the folders of $GLASSES_CONFIG_DIRS."""
    folders = environ.get("GLASSES_CONFIG_DIRS", "") or "/etc"
    return [Path(folder) / FILE_NAME for folder in reversed(folders.split(":")) if folder]


def user_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own file, as the XDG base directory specification has it."""
    return folders.config_folder(environ) / "glasses" / "config.toml"


def paths(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """All files that are looked for, the most important last."""
    return [*system_paths(environ), user_path(environ)]


def load_config(options: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] = os.environ) -> LoadedConfig:
    """The configuration, with `options` of the command line (key -> value) laid over the files.

    Raises InputError with the file (or the command line), the key and the reason: CORRUPT (no TOML), TOO_LARGE,
    BAD_INPUT (an unknown key, a wrong type or a value out of range).
    """
    config, sources = AssistantConfig(), dict.fromkeys((key for key, _ in items(AssistantConfig())), BUILT_IN)
    layers: list[tuple[str, Path | None, Mapping[str, Any]]] = []
    if board := environ.get("GLASSES_BOARD"):
        layers.append(("$GLASSES_BOARD", None, {"board": board}))
    layers += [(str(path), path.parent, read_file(path)) for path in paths(environ) if _is_there(path)]
    layers.append((COMMAND_LINE, None, options or {}))
    for source, folder, values in layers:
        for key, value in values.items():
            config = _with(config, key, _checked(key, value, source, folder))
            sources[key] = source
    return LoadedConfig(config, sources)


def read_file(path: Path) -> dict[str, Any]:
    """The file's values by key, `section.name`; not checked yet. Raises InputError: CORRUPT, TOO_LARGE, BAD_INPUT."""
    try:
        # Read without waiting and no further than the limit, whatever is there: a pipe, a device, a file that grows.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_FILE_BYTES} bytes, a configuration is a few lines")
    try:
        return dict(_flat(tomllib.loads(data.decode("utf-8-sig"))))
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, arrays nested as deeply
        raise InputError(Reason.CORRUPT, f"{path}: not a TOML file: {error}") from error


def _is_there(path: Path) -> bool:
    """Whether there is something to read, or that should be: a dangling link or a closed folder is no absent file."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def items(config: AssistantConfig) -> Iterator[tuple[str, Any]]:
    """(key, value) of the whole configuration, in the order of its fields."""
    for one in fields(config):
        value = getattr(config, one.name)
        if is_dataclass(value):
            for inner in fields(value):
                yield f"{one.name}.{inner.name}", getattr(value, inner.name)
        else:
            yield one.name, value


def _flat(table: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and not section:
            yield from _flat(value, f"{name}.")
        else:
            yield section + name, value


def _with(config: AssistantConfig, key: str, value: Any) -> AssistantConfig:
    section, _, name = key.rpartition(".")
    if not section:
        return replace(config, **{name: value})
    return replace(config, **{section: replace(getattr(config, section), **{name: value})})


def _checked(key: str, value: Any, source: str, folder: Path | None) -> Any:
    """The value as its field holds it. Raises InputError(BAD_INPUT)."""
    if key not in _RULES:
        near = difflib.get_close_matches(key, _RULES, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(_RULES)}"
        raise InputError(Reason.BAD_INPUT, f"{source}: unknown key {_shown(key)}: {hint}")
    try:
        checked = _RULES[key](value)
    except ValueError as error:
        raise InputError(Reason.BAD_INPUT, f"{source}: key '{key}': {error}, found {_shown(value)}") from error
    if folder is None:
        return checked
    if isinstance(checked, Path):
        return folder / checked  # in a file: from where the file lies
    if key == "documents.folders":
        return tuple(folder / one for one in checked)
    return checked


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number too long to show"
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    if not value.isprintable():
        raise ValueError("must be a text without control characters")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _path(value: Any) -> Path:
    if isinstance(value, str) and re.search(r"\$[\w{]", value):
        raise ValueError("must be a path without variables ('~/' is the home folder)")
    try:
        return folders.expanded(_text(str(value) if isinstance(value, Path) else value))
    except InputError as error:  # "~somebody/...": no such user
        raise ValueError("must be a path in a home folder that exists") from error


def _folders(value: Any) -> tuple[Path, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_FOLDERS:
        raise ValueError(f"must be a list of at most {MAX_FOLDERS} paths")
    return tuple(_path(one) for one in value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_PERSONAS:
        raise ValueError(f"must be a list of at most {MAX_PERSONAS} names")
    return tuple(_text(one) for one in value)


def _source(value: Any) -> str:
    """A camera: `source = 0` in a file is a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _number(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return check


def _activation(value: Any) -> str:
    value = _text(value)
    if value in FORMER_ACTIVATIONS:
        raise ValueError(f"is now called {FORMER_ACTIVATIONS[value]!r}")
    if value not in ACTIVATIONS:
        raise ValueError(f"must be one of {', '.join(ACTIVATIONS)}")
    return value


def _listen(value: Any) -> str:
    host, _, port = _text(value).rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, as 127.0.0.1:8766")
    return value


_RULES: dict[str, Callable[[Any], Any]] = {
    "activation": _activation,
    "bundle": _text,
    "board": _text,
    "link": _text,
    "persona": _text,
    "personas": _names,
    "muted": _flag,
    "audio.microphone": _text,
    "audio.speaker": _text,
    "audio.voice": _flag,
    "camera.source": _source,
    "camera.pictures": _path,
    "memory.minutes": _number(0, MAX_MEMORY_MIN),
    "memory.keep_replies": _flag,
    "conversation.minutes": _number(0, 24 * 60),
    "recording.enabled": _flag,
    "recording.folder": _path,
    "recording.max_hours": _number(0.01, 1e6),
    "recording.max_mb": _number(1, 1e9),
    "recording.encrypt_to": _path,
    "dashboard.enabled": _flag,
    "dashboard.listen": _listen,
    "apps.enabled": _flag,
    "apps.act": _flag,
    "hud.clear_after_s": _number(0, 3600),
    "offload.url": _text,
    "offload.token_file": _path,
    "offload.ca_file": _path,
    "mcp.servers": read_servers,
    "mcp.allow": read_allow,
    "documents.folders": _folders,
}

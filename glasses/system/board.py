"""Reads hardware/boards/NAME.toml: memory, cores, display and sound rates of a computer or a pair of glasses."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.types import Display

BOARDS_DIR = data_path("hardware/boards")
DEFAULT_BOARD = "desktop"
_MAX_FILE_BYTES = 64 * 1024
_TEXT_KEYS = ("about", "source")
# key: (smallest, largest). The display's upper limit caps what the HUD allocates for a page.
_HOST_RANGES = {
    "memory_mb": (16, 1 << 20),
    "cores": (1, 1024),
    "mic_rate_hz": (8000, 192_000),
    "speaker_rate_hz": (8000, 192_000),
    "throttle_c": (50, 120),
}
_DISPLAY_RANGES = {"width": (64, 4096), "height": (24, 4096), "colours": (2, 256)}


@dataclass(frozen=True, slots=True)
class Board:
    """One host board, or one pair of glasses. `None` means the hardware has no such part (or nobody stated it)."""

    name: str
    about: str
    source: str
    memory_mb: int | None = None
    cores: int | None = None
    mic_rate_hz: int | None = None
    speaker_rate_hz: int | None = None
    throttle_c: int | None = None  # where its firmware slows it down
    display: Display | None = None

    def require_display(self) -> Display:
        """The panel to draw for; InputError(NOT_FOUND) on a board without one."""
        if self.display is None:
            raise InputError(
                Reason.NOT_FOUND, f"board {self.name!r} has no display: choose one that has, e.g. {DEFAULT_BOARD!r}"
            )
        return self.display


def board_names(boards_dir: Path = BOARDS_DIR) -> list[str]:
    """Names of the boards that are described in `boards_dir`, sorted."""
    return sorted(path.stem for path in boards_dir.glob("*.toml"))


def load_board(name: str = DEFAULT_BOARD, boards_dir: Path = BOARDS_DIR) -> Board:
    """Reads `boards_dir`/`name`.toml.

    Raises InputError: NOT_FOUND for an unknown name (the message lists the known ones), CORRUPT for a file that
    is not TOML, TOO_LARGE over 64 KiB, BAD_INPUT for a wrong key or value (the message names file and key).
    """
    known = board_names(boards_dir)
    if name not in known:  # also refuses names with a path in them
        raise InputError(Reason.NOT_FOUND, f"no board {name!r} in {boards_dir}: known are {', '.join(known) or 'none'}")
    path = boards_dir / f"{name}.toml"
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: over {_MAX_FILE_BYTES} bytes, a board file is a few lines")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Reason.CORRUPT, f"{path}: not a TOML file: {error}") from error
    return _board(name, table, path)


def _board(name: str, table: dict[str, Any], path: Path) -> Board:
    # `quantize plan` reads and checks [compute].
    _refuse_unknown(table, ({field.name for field in fields(Board)} - {"name"}) | {"compute"}, path, "")
    texts = {key: _text(table, key, path) for key in _TEXT_KEYS}
    numbers = {key: _integer(table, key, path, "", span) for key, span in _HOST_RANGES.items() if key in table}
    display = None
    if "display" in table:
        panel = table["display"]
        if not isinstance(panel, dict):
            raise InputError(Reason.BAD_INPUT, f"{path}: key 'display' must be a table [display]")
        _refuse_unknown(panel, set(_DISPLAY_RANGES), path, "display.")
        display = Display(
            **{key: _integer(panel, key, path, "display.", span) for key, span in _DISPLAY_RANGES.items()}
        )
    return Board(
        name=name,
        about=texts["about"],
        source=texts["source"],
        memory_mb=numbers.get("memory_mb"),
        cores=numbers.get("cores"),
        mic_rate_hz=numbers.get("mic_rate_hz"),
        speaker_rate_hz=numbers.get("speaker_rate_hz"),
        throttle_c=numbers.get("throttle_c"),
        display=display,
    )


def _refuse_unknown(table: dict[str, Any], known: set[str], path: Path, prefix: str) -> None:
    for key in table:
        if key not in known:
            raise InputError(
                Reason.BAD_INPUT, f"{path}: unknown key '{prefix}{key}': known are {', '.join(sorted(known))}"
            )


def _text(table: dict[str, Any], key: str, path: Path) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise InputError(Reason.BAD_INPUT, f"{path}: key '{key}' must be a text, found {value!r}")
    return value


def _integer(table: dict[str, Any], key: str, path: Path, prefix: str, span: tuple[int, int]) -> int:
    value = table.get(key)
    low, high = span
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(
            Reason.BAD_INPUT,
            f"{path}: key '{prefix}{key}' must be a whole number from {low} to {high}, found {value!r}",
        )
    return value

"""What the wearer set by voice and is kept over restarts: volume, speed of the voice, brightness. A small JSON file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from glasses.errors import InputError, Reason
from glasses.folders import own_state_folder

log = logging.getLogger(__name__)
NAME = "settings.json"
MAX_FILE_BYTES = 4096
LIMITS = {"volume": (10, 100), "speed": (50, 200), "brightness": (5, 100)}  # percent; a silent alarm would be none
STEPS = {"volume": 10, "speed": 20, "brightness": 20}
VOLUME = 80  # where nothing is set: sound as the voice and the system's mixer give it
_Percent = Annotated[int, Meta(ge=1, le=200)]


class DeviceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In percent; None is as built in, or as the persona has it."""

    volume: _Percent | None = None
    speed: _Percent | None = None
    brightness: _Percent | None = None


def path() -> Path:
    """Where the file lies; it need not exist. Raises InputError(NOT_FOUND) where this user has no folder for it."""
    return own_state_folder() / NAME


def load(file: Path) -> DeviceSettings:
    """What is kept. A file that cannot be used is logged: nothing is set then."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"over {MAX_FILE_BYTES} bytes")
        return msgspec.json.decode(data, type=DeviceSettings)
    except (FileNotFoundError, NotADirectoryError):
        return DeviceSettings()
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        log.error("%s: %s; what was set by voice does not count", file, error)
        return DeviceSettings()


def save(file: Path, settings: DeviceSettings) -> None:
    """Keeps them, on the disk when it returns. Raises InputError(NO_SPACE)."""
    new = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with new.open("wb") as opened:
            opened.write(msgspec.json.encode(settings))
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    except OSError as error:
        raise InputError(Reason.NO_SPACE, f"it counts until I am restarted: {error.strerror}") from error


def gain_of(volume: int) -> float:
    """The factor for samples at a volume in percent: 1 at VOLUME, +4 dB at 100, -36 dB at 10."""
    return (volume / VOLUME) ** 2

"""The shipped demo session as events of the sensors.

A session is a folder: `session.toml` (touches, frames, what was said for the reader of the contact sheet only, and the
source and licence of each clip), one sound file, and pictures.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from glasses.audio.sound_files import read_audio
from glasses.errors import InputError, Reason
from glasses.media.pictures import read_image
from glasses.types import (
    NS_PER_MS,
    NS_PER_S,
    SAMPLE_RATE_HZ,
    AudioChunk,
    Button,
    Frame,
    Int16Array,
    SensorEvent,
    frozen,
)

SHIPPED = Path(__file__).parent / "demo"
CHUNK_MS = 20
_T = TypeVar("_T", bound="Timed")


class Timed(Protocol):
    """Anything that happened at a time."""

    @property
    def t_ns(self) -> int:
        """When."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """Reference text of something said, that no model sees."""

    t_ms: int
    end_ms: int
    text: str
    addressed: bool


@dataclass(frozen=True, slots=True)
class Session:
    """One recording; `pcm` is int16 (N,) at 16 kHz, times are ms from its first sample, `frames` are files."""

    title: str
    pcm: Int16Array
    touches: tuple[tuple[int, str], ...]
    frames: tuple[tuple[int, Path], ...]
    said: tuple[Said, ...]

    @property
    def length_ms(self) -> int:
        """Length of the sound."""
        return len(self.pcm) * 1000 // SAMPLE_RATE_HZ


def load_session(folder: Path = SHIPPED) -> Session:
    """Reads a session. Raises InputError: NOT_FOUND, BAD_INPUT or CORRUPT (the message names the file)."""
    path = folder / "session.toml"
    if not path.is_file():
        raise InputError(Reason.NOT_FOUND, f"no session at {folder}: {path.name} is missing")
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text())
        touches = tuple((int(touch["t_ms"]), str(touch["press"])) for touch in table["touches"])
        frames = tuple((int(frame["t_ms"]), folder / frame["file"]) for frame in table["frames"])
        said = tuple(
            Said(int(s["t_ms"]), int(s["end_ms"]), str(s["text"]), bool(s["addressed"])) for s in table["said"]
        )
        title, audio = str(table["title"]), folder / table["audio"]
    except (ValueError, KeyError, TypeError) as error:  # tomllib's error is a ValueError
        raise InputError(Reason.CORRUPT, f"{path}: not a session file: {error!r}") from error
    touches = tuple((t_ms, "long_press" if press == "hold" else press) for t_ms, press in touches)  # its old name
    if wrong := {press for _, press in touches} - {"tap", "long_press"}:
        raise InputError(Reason.BAD_INPUT, f"{path}: press must be tap or long_press, not {', '.join(sorted(wrong))}")
    pcm = np.clip(np.round(read_audio(audio) * 32768), -32768, 32767).astype(np.int16)
    return Session(title, frozen(pcm), touches, frames, said)


def events(session: Session, *, start_ns: int = 0, chunk_ms: int = CHUNK_MS) -> Iterator[SensorEvent]:
    """What the sensors gave, in order of time, with the sound's first sample at `start_ns`."""
    return merge(
        _buttons(session, start_ns), _frames(session, start_ns), _chunks(session, start_ns, chunk_ms), key=_time
    )


def paced(stream: Iterable[_T]) -> Iterator[_T]:
    """Gives each event when it would have come: a chunk when its last sample is there. Late ones come at once."""
    for event in stream:
        ready_ns = event.t_ns
        if isinstance(event, AudioChunk):
            ready_ns += len(event.pcm) * NS_PER_S // event.rate_hz
        time.sleep(max(0, ready_ns - time.monotonic_ns()) / 1e9)
        yield event


def _time(event: SensorEvent) -> int:
    return event.t_ns


def _buttons(session: Session, start_ns: int) -> Iterator[SensorEvent]:
    for t_ms, press in sorted(session.touches):
        yield Button(start_ns + t_ms * NS_PER_MS, "long_press" if press == "long_press" else "tap")


def _frames(session: Session, start_ns: int) -> Iterator[SensorEvent]:
    for seq, (t_ms, path) in enumerate(sorted(session.frames)):
        yield Frame(start_ns + t_ms * NS_PER_MS, seq, frozen(read_image(path)))


def _chunks(session: Session, start_ns: int, chunk_ms: int) -> Iterator[SensorEvent]:
    size = SAMPLE_RATE_HZ * chunk_ms // 1000
    for seq, first in enumerate(range(0, len(session.pcm), size)):
        yield AudioChunk(
            start_ns + first * NS_PER_S // SAMPLE_RATE_HZ, seq, session.pcm[first : first + size], SAMPLE_RATE_HZ
        )

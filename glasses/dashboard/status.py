"""State of the dashboard page. The pipeline fills it from any thread and the server reads it.

Newest wins: nothing here grows. While muted it holds no picture and no level, whoever puts one in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from glasses.types import AudioChunk, Float32Array, Frame, UInt8Array

GATES_KEPT, TURNS_KEPT = 12, 8
SILENT_DBFS = -90.0


@dataclass(frozen=True, slots=True)
class Gate:
    """What one gate decided, and why in words a wearer understands."""

    t_ns: int
    gate: str
    decision: str
    why: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage of a turn in ms from the end of speech; what was done while the wearer spoke begins below zero."""

    stage: str
    from_ms: float
    to_ms: float


@dataclass(frozen=True, slots=True)
class TurnView:
    """One turn's waterfall. `first_sound_ms` is what a person waited."""

    id: int
    t_ns: int
    cause: str
    answer: str
    outcome: str
    bars: tuple[Bar, ...]
    first_sound_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the board is; None is "it cannot say"."""

    rss_mb: float | None = None
    free_mb: float | None = None
    heat_c: float | None = None
    battery_percent: float | None = None
    charging: bool = False
    link: str = "no glasses paired"
    shed: tuple[str, ...] = ()
    why: str = ""
    remembered_s: float = 0.0
    remembered_mb: float = 0.0
    past_turns: int = 0  # of the conversation, known to the next turn
    recorded_mb: float | None = None  # None: nothing is recorded
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """One snapshot: everything on the page but the pictures."""

    now_ns: int
    state: str
    muted: bool
    microphone_dbfs: float
    speaker_dbfs: float
    has_camera: bool
    has_hud: bool
    gates: tuple[Gate, ...]
    turns: tuple[TurnView, ...]
    vitals: Vitals


class Panel:
    """The pipeline calls `set_...` and `add_...`, the server `snapshot` and `pictures`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: deque[Gate] = deque(maxlen=GATES_KEPT)
        self._turns: deque[TurnView] = deque(maxlen=TURNS_KEPT)
        self._vitals, self._state, self._muted = Vitals(), "starting", False
        self._microphone_dbfs = self._speaker_dbfs = SILENT_DBFS
        self._camera: UInt8Array | None = None
        self._hud: UInt8Array | None = None

    def set_microphone(self, chunk: AudioChunk) -> None:
        """Sound of the microphone: only its level is kept."""
        level = _dbfs(chunk.pcm.astype(np.float32) / np.float32(32768))
        with self._lock:
            self._microphone_dbfs = SILENT_DBFS if self._muted else max(level, self._microphone_dbfs - 3)

    def set_speaker(self, pcm: Float32Array) -> None:
        """Sound that goes to the speaker, (N,) in -1..1: only its level is kept."""
        level = _dbfs(pcm)
        with self._lock:
            self._speaker_dbfs = max(level, self._speaker_dbfs - 3)

    def set_camera(self, frame: Frame) -> None:
        """A picture of the camera."""
        with self._lock:
            self._camera = None if self._muted else frame.rgb

    def set_hud(self, rgb: UInt8Array | None) -> None:
        """What the HUD shows now, uint8 (H, W, 3)."""
        with self._lock:
            self._hud = rgb

    def add_decision(self, gate: str, decision: str, why: str, t_ns: int | None = None) -> None:
        """A gate decided something."""
        with self._lock:
            self._gates.append(Gate(time.monotonic_ns() if t_ns is None else t_ns, gate, decision, why))

    def add_turn(self, view: TurnView) -> None:
        """A turn, or what is newly known of one: the same id takes the old one's place."""
        with self._lock:
            kept = [view if old.id == view.id else old for old in self._turns]
            self._turns = deque(kept if view in kept else [*kept, view], maxlen=TURNS_KEPT)

    def set_vitals(self, **changed: Any) -> None:
        """Changes fields of Vitals."""
        with self._lock:
            self._vitals = replace(self._vitals, **changed)

    def set_state(self, state: str) -> None:
        """What the assistant does: listening, thinking, speaking."""
        with self._lock:
            self._state = state

    def set_muted(self, muted: bool) -> None:
        """The assistant was muted or not; what was sensed goes at once."""
        with self._lock:
            self._muted = muted
            if muted:
                self._camera, self._microphone_dbfs = None, SILENT_DBFS

    def pictures(self) -> dict[str, UInt8Array | None]:
        """The newest of the camera and of the HUD."""
        with self._lock:
            return {"camera": self._camera, "hud": self._hud}

    def snapshot(self) -> Status:
        """Everything else."""
        with self._lock:
            self._speaker_dbfs = max(SILENT_DBFS, self._speaker_dbfs - 6)  # nobody says when the speaker falls silent
            return Status(
                time.monotonic_ns(),
                self._state,
                self._muted,
                round(self._microphone_dbfs, 1),
                round(self._speaker_dbfs, 1),
                self._camera is not None,
                self._hud is not None,
                tuple(self._gates),
                tuple(self._turns),
                self._vitals,
            )


def _dbfs(pcm: Float32Array) -> float:
    power = float((pcm**2).mean()) if len(pcm) else 0.0
    return max(SILENT_DBFS, float(10 * np.log10(max(power, 1e-12))))

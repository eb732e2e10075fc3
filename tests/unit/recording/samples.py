"""Entries of each kind, and recordings of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from glasses.events import Announced, Outcome, ReplyState, TurnEvent, TurnSignal
from glasses.recording.entries import Answered, Decision, Entry
from glasses.recording.folder import opened
from glasses.recording.mcap_file import read_entries
from glasses.recording.recorder import Recorder
from glasses.types import NS_PER_MS, AudioChunk, Button, DeviceChange, Frame, Latents, OwnVoice, Wiped


def sound(n: int, *, from_ns: int = 0) -> Iterator[AudioChunk]:
    """`n` chunks of 20 ms; the first sample counts them."""
    noise = np.random.default_rng(0).integers(-9999, 9999, 320).astype(np.int16)
    for i in range(n):
        pcm = noise.copy()
        pcm[0] = i
        yield AudioChunk(from_ns + i * 20 * NS_PER_MS, i, pcm, 16_000)


def one_of_each() -> list[Entry]:
    rng = np.random.default_rng(1)
    latents = Latents(5, 20 * NS_PER_MS, "audio", rng.standard_normal((7, 12)).astype(np.float32), "whisper:0123")
    picture = np.full((48, 64, 3), (200, 30, 30), np.uint8)
    decision = Decision(9, 1, "long_press", 2, 8, (3, 7), (("image", 1, 0, 49), ("audio", 5, 20 * NS_PER_MS, 7)))
    quiet = Decision(10, 2, "tap", 9, 10, None, (("text", 0, 0, 4),))
    answered = Answered(11, 1, "Ein rotes Bild, schön.", {"silence": 512.0, "prefill": 80.25})
    asked = Decision(12, 3, "barge_in", 11, 12, (11, 12), (), "sound")
    cut = Answered(13, 3, "A dog", {}, Outcome.INTERRUPTED, 2)
    told: list[Entry] = [
        TurnSignal(TurnEvent.TURN_STARTED, 14, 4),
        TurnSignal(TurnEvent.NOT_ADDRESSED, 14, 4),
        TurnSignal(TurnEvent.INTERRUPTED, 15, 4, continues_turn=True),
        ReplyState(16, 4, "audible"),
    ]
    others = [
        *told,
        Announced(16, 1, "timer", "It is up.", 1, "begun"),
        OwnVoice(17, True),
        DeviceChange(18, "muted", "a key"),
        Wiped(19),
    ]
    sensed = [next(sound(1, from_ns=1)), Frame(4, 0, picture), Button(5, "long_press")]
    return [*sensed, latents, decision, quiet, answered, asked, cut, *others]


def record(folder: Path, entries: list[Entry], **options: object) -> Recorder:
    recorder = Recorder(folder, {"board": "desktop"}, **options)  # pyright: ignore[reportArgumentType]
    for entry in entries:
        recorder.put(entry)
    recorder.close()
    return recorder


def read(path: Path, key: X25519PrivateKey | None = None) -> list[Entry]:
    with opened(path, key) as stream:
        return [entry for entry in read_entries(stream, path.name) if not isinstance(entry, dict)]

"""Resident memory with everything of a bundle loaded and used once."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil

from glasses.assistant.answer import Times, answer
from glasses.errors import ModelError, Reason
from glasses.evaluation.progress import Tick
from glasses.runtime.bundle import open_bundle, open_voice
from glasses.types import SAMPLE_RATE_HZ, Turn


def run(bundle: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Returns MB of resident memory: at the start, after loading, after a turn of 5 s of sound and a picture, with
    the voice.

    The file-backed share (the mapped model) can be given back by the kernel; it is counted all the same.
    """
    process = psutil.Process()
    figures = {"start": _mb(process)}
    tick("memory", 0, 3)
    loaded = open_bundle(bundle)
    figures["loaded"] = _mb(process)
    tick("memory", 1, 3)
    rng = np.random.default_rng(0)
    sound = loaded.encode_audio((0.1 * rng.standard_normal(5 * SAMPLE_RATE_HZ)).astype(np.float32))
    picture = loaded.image_encoder.encode(rng.integers(0, 256, (480, 640, 3), np.uint8))
    for _ in answer(loaded, Turn(0, 0, "bench", (*sound, picture, "What is this?")), Times(), max_tokens=32):
        pass
    figures["after a turn"] = _mb(process)
    tick("memory", 2, 3)
    try:
        voice = open_voice(bundle)
    except ModelError as error:
        if error.reason not in (Reason.NOT_INSTALLED, Reason.NOT_FOUND):
            raise
        return figures
    for _ in voice.speak(["The quick brown fox jumps over the lazy dog."]):
        pass
    figures["with the voice, after speaking"] = _mb(process)
    voice.close()
    loaded.close()
    return figures


def _mb(process: psutil.Process) -> float:
    return round(process.memory_info().rss / 1e6, 1)

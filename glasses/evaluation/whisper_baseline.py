"""Whisper's own decoder, by faster-whisper: the limit for words, and the transcript latents are compared with.

The runtime does not use it; it needs the `baseline` extra.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.types import Float32Array

MODEL = "whisper-tiny-en-ct2"


def installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("faster_whisper") is not None


def open_whisper(*, n_threads: int, compute_type: str) -> Any:
    """faster-whisper's model. Raises ModelError: NOT_FOUND (not pulled), NOT_INSTALLED (the extra is missing)."""
    if not installed():
        raise ModelError(
            Reason.NOT_INSTALLED, "Whisper's decoder needs, from the checkout: pip install -e '.[baseline]'"
        )
    from faster_whisper import WhisperModel  # noqa: PLC0415  # pyright: ignore[reportMissingImports]  (optional, heavy)

    with tempfile.TemporaryDirectory() as together:  # it wants the model's files in one folder
        for file in store.load_manifest(MODEL).files:
            (Path(together) / file.name).symlink_to(store.path_of(MODEL, file.name))
        return WhisperModel(together, device="cpu", compute_type=compute_type, cpu_threads=n_threads)


def transcriber(*, n_threads: int = 2, compute_type: str = "float32") -> Callable[[Float32Array], str]:
    """Returns a greedy transcriber of float32 (N,) sound at 16 kHz. Raises ModelError as `open_whisper` does."""
    whisper = open_whisper(n_threads=n_threads, compute_type=compute_type)

    def transcribe(pcm: Float32Array) -> str:
        segments, _ = whisper.transcribe(pcm, language="en", beam_size=1)
        return " ".join(segment.text for segment in segments)

    return transcribe

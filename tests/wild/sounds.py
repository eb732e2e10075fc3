"""Sounds that the wild cases are made of, most from one question, and what comes of them."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from glasses.assistant.answer import ask
from glasses.audio.sound_files import decode_audio, read_audio
from glasses.errors import GlassesError
from glasses.runtime.given import what_shows_something
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from tests.wild.world import FRANCE, ROOT, SPEECH, bundle, in_process, refusal


@functools.cache
def france() -> Float32Array:
    """ "What is the capital of France?", 2.9 s."""
    return read_audio(FRANCE)


def other_question() -> Float32Array:
    return read_audio(SPEECH / "question-091.ogg")


def thing(name: str) -> Float32Array:
    """A sound of models/eval/sounds."""
    return read_audio(ROOT / "models" / "eval" / "sounds" / f"{name}.ogg")


def filled(seconds: float, dbfs: float = -200) -> Float32Array:
    """Silence, or noise of a level."""
    samples = np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE_HZ))
    return (samples * 10 ** (dbfs / 20)).astype(np.float32)


def split(at_s: float, pause: Float32Array) -> Float32Array:
    """The question with a pause at `at_s`."""
    at = round(at_s * SAMPLE_RATE_HZ)
    return np.concatenate([france()[:at], pause, france()[at:]])


def channels(*each: Float32Array) -> bytes:
    """A WAV of several channels, each as long as the first: repeated, or cut."""
    return encoded(np.stack([np.resize(one, len(each[0])) for one in each], axis=1))


def encoded(pcm: np.ndarray, kind: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, pcm, SAMPLE_RATE_HZ, format=kind, subtype=subtype)
    return out.getvalue()


def with_bytes(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def heard(data: bytes, *question: str) -> str:
    """Notes and the answer; a refusal is what came."""
    notes: list[str] = []
    try:
        pcm = decode_audio(data, "the sound", on_note=notes.append)
    except GlassesError as error:
        return refusal(error)
    kept, reply = what_shows_something([pcm, *question])
    return " | ".join([*notes, reply or ask(bundle(), *kept)])


def hears(make: Callable[[], bytes | Float32Array], *question: str) -> Callable[[Path], str]:
    def came(_folder: Path) -> str:
        made = make()
        return heard(made if isinstance(made, bytes) else encoded(made), *question)

    return came


def asked(make: Callable[[], bytes], name: str, *argv: Any) -> Callable[[Path], str]:
    """The same through the command line, as a file with this name."""

    def came(folder: Path) -> str:
        (folder / name).write_bytes(make())
        return in_process("ask", "--audio", folder / name, *argv)

    return came

"""How soon the first sound of an answer comes on this machine, measured with one bundle and scaled to others.

A short spoken question is answered a few times: sound to rows, rows into the cache, the first clause written, its first
sound. Encoders, connectors and voice are the same in every shipped bundle; what the backbone does grows with its file.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from glasses.audio.sound_files import read_audio
from glasses.data import data_path
from glasses.decoders.clauses import ClauseSplitter
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import prompt_of
from glasses.types import Float32Array

QUESTION = data_path("models/eval/speech/question-090.ogg")  # "What is the capital of France?", 1.5 s
# Silence that ends a whole sentence where the end-of-turn head is sure, half of the time (glasses/assistant/README.md).
SILENCE_MS = 96.0
# The backbone's time grows as its file's size to this power. Of the three shipped, on two busy x86-64 cores, files of
# 1, 5 and 11.4 times the size took 1, 3.2 and 5.9 times as long for rows, 1, 2.5 and 5.2 for tokens; the table of token
# rows, which is a large part of a small file with a large vocabulary, costs next to nothing.
GROWTH = 0.7
REPEATS = 3
_MAX_TOKENS = 16


class Speaks(Protocol):
    """The part of `glasses.decoders.speech.Voice` that is timed."""

    def speak(self, clauses: Iterable[str]) -> Iterator[Float32Array]:
        """The sound of each clause, float32."""
        ...


@dataclass(frozen=True, slots=True)
class FirstSound:
    """Medians in ms of one question: `hear` (sound to rows), `read` (rows into the cache), `write` (the first clause),
    `speak` (its first sound; 0 without a voice). `backbone_bytes` is the size of the backbone's file.
    """

    bundle: str
    backbone_bytes: int
    hear: float
    read: float
    write: float
    speak: float

    def expected_ms(self, backbone_bytes: int | None = None) -> float:
        """From the end of speech to the first sound, if nothing was done while the question was spoken (`glasses run`
        begins then, so it is sooner as a rule); with another backbone by the size of its file.
        """
        larger = ((backbone_bytes or self.backbone_bytes) / self.backbone_bytes) ** GROWTH
        return SILENCE_MS + self.hear + (self.read + self.write) * larger + self.speak


def backbone_bytes(bundle: store.Bundle) -> int:
    """The size of a bundle's backbone."""
    return store.load_manifest(bundle.backbone).size_bytes


def measure(loaded: LoadedBundle, voice: Speaks | None, *, repeats: int = REPEATS) -> FirstSound:
    """Answers the question `repeats` times, after once to warm up. Raises ModelError."""
    pcm = read_audio(QUESTION)
    stages = [_once(loaded, voice, pcm) for _ in range(repeats + 1)][1:]
    medians = [statistics.median(times) for times in zip(*stages, strict=True)]
    return FirstSound(loaded.bundle.name, backbone_bytes(loaded.bundle), *medians)


def _once(loaded: LoadedBundle, voice: Speaks | None, pcm: Float32Array) -> list[float]:
    """The milliseconds of each stage."""
    marks = [time.perf_counter()]
    inputs = prompt_of(loaded, loaded.encode_audio(pcm))
    marks.append(time.perf_counter())
    loaded.backbone.rollback(loaded.n_prefix)
    loaded.backbone.feed(inputs)
    marks.append(time.perf_counter())
    clause = _first_clause(loaded)
    marks.append(time.perf_counter())
    if voice and clause:
        for _ in voice.speak([clause]):
            break
    marks.append(time.perf_counter())
    loaded.backbone.rollback(loaded.n_prefix)
    return [1e3 * (after - before) for before, after in pairwise(marks)]


def _first_clause(loaded: LoadedBundle) -> str:
    splitter = ClauseSplitter()
    for token in loaded.backbone.generate(0, max_tokens=_MAX_TOKENS):
        if done := splitter.feed(token.text):
            return done[0]
    return " ".join(splitter.flush())

"""One turn's answer as the demo needs it: text as it comes, sound clause by clause, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from glasses.app import Parts
from glasses.decoders.clauses import clauses
from glasses.decoders.speech import Voice
from glasses.listen import Heard
from glasses.loop import answer
from glasses.types import Float32Array

MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """`wait_ms` is what passed from the end of speech to the first sound (or text) given, part by part, in order."""

    heard: Heard
    text: str
    pcm: Float32Array | None  # at the voice's rate; None without a voice
    wait_ms: dict[str, float]


def reply(parts: Parts, voice: Voice | None, heard: Heard, silence_ms: float, on_text: Callable[[str], None]) -> Reply:
    """Answers one turn. `silence_ms` is what the gate waited after the end of speech; `on_text` gets each piece.

    Raises ModelError as `answer` and `Voice.speak` do.
    """
    texts: list[str] = []
    wait_ms: dict[str, float] = {}

    def stream() -> Iterator[str]:
        for piece in answer(parts, heard.turn, heard.times, max_tokens=MAX_TOKENS):
            texts.append(piece.text)
            on_text(piece.text)
            yield piece.text

    def first_is_out() -> None:
        if not wait_ms:
            total_ms = (time.monotonic_ns() - heard.decided_ns) / 1e6
            stages = {"rest of clause" if k == "more pieces" else k: v for k, v in heard.times.stages_ms.items()}
            wait_ms.update({"silence": silence_ms, **stages})
            wait_ms["voice" if voice else "other"] = total_ms - sum(stages.values())

    spoken: list[Float32Array] = []
    if voice is None:
        for _ in stream():
            first_is_out()
    else:
        for pcm in voice.speak(clauses(stream())):
            first_is_out()
            spoken.append(pcm)
    first_is_out()  # an answer of nothing
    pcm = None if voice is None else np.concatenate(spoken) if spoken else np.zeros(1, np.float32)
    return Reply(heard, "".join(texts).strip(), pcm, wait_ms)

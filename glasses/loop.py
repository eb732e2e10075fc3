"""THE SPINE: a Turn becomes rows in the backbone's space, rows become pieces. Knows no device and no file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from glasses.app import Parts
from glasses.backbone import prompt
from glasses.backbone.parts import Part
from glasses.types import Float32Array, Latents, Piece, Turn


@dataclass(slots=True)
class Times:
    """Milliseconds spent in each stage of one turn; the stages of a turn add up to the wait for its first piece."""

    stages_ms: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since_ns: int) -> int:
        """Adds the time since `since_ns` to a stage and returns now."""
        now_ns = time.monotonic_ns()
        self.stages_ms[stage] = self.stages_ms.get(stage, 0.0) + (now_ns - since_ns) / 1e6
        return now_ns


def rows_of(parts: Parts, latents: Latents, *, spoken: bool = False) -> tuple[Float32Array, bool]:
    """Connects one part: rows float32 (n, n_embd), n may be 0, and whether it brought words.

    `spoken` is what the part before it returned: a window of sound comes as two parts, what is said and what is heard
    besides, and beside words the second says nothing.
    """
    if latents.modality == "image":
        return parts.image.apply(latents), False
    if latents.modality == "sound":
        rows = parts.sound.apply(latents)
        return (rows[:0] if spoken else rows), False
    words = parts.words.apply(latents)
    return np.concatenate([parts.ambience.apply_beside_words(latents), words]), len(words) > 0


def prompt_of(parts: Parts, given: Sequence[Latents | str]) -> list[Part]:
    """Everything after the system prompt: the user's parts in order, a question where none was put, the suffix."""
    out: list[Part] = []
    asked = spoken = False
    for part in given:
        if isinstance(part, str):
            out.append(parts.backbone.tokenize(part, special=False))
            asked = True
        else:
            rows, spoken = rows_of(parts, part, spoken=spoken)
            out.append(rows)
            asked = asked or spoken
    if not asked:
        seen = any(isinstance(part, Latents) and part.modality == "image" for part in given)
        out.append(parts.backbone.tokenize(prompt.ABOUT_VIEW if seen else prompt.ABOUT_SOUND))
    out.append(parts.backbone.tokenize(prompt.SUFFIX))
    return out


def answer(
    parts: Parts, turn: Turn, times: Times, *, max_tokens: int = 64, top_k: int = 0, want_latents: bool = False
) -> Iterator[Piece]:
    """Streams the answer to one turn; the context is rolled back to the system prompt first.

    Raises ModelError: WRONG_SPACE, CONTEXT_FULL, ABORTED.
    """
    since_ns = time.monotonic_ns()
    fed = prompt_of(parts, turn.parts)
    since_ns = times.add("connect", since_ns)
    parts.backbone.rollback(parts.n_prefix)
    parts.backbone.feed(fed, hidden="last" if want_latents else "none")
    since_ns = times.add("prefill", since_ns)
    pieces = parts.backbone.generate(turn.id, max_tokens=max_tokens, top_k=top_k, want_latents=want_latents)
    for i, piece in enumerate(pieces):
        since_ns = times.add("first piece" if i == 0 else "more pieces", since_ns)
        yield piece
        since_ns = time.monotonic_ns()  # what the consumer does meanwhile is not the backbone's time

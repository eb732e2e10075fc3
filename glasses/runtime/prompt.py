"""THE SPINE: a Turn becomes rows in the backbone's space, rows become pieces. Knows no device and no file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from glasses.audio.ring_buffer import RATE_HZ
from glasses.backbone import prompt
from glasses.backbone.inputs import Part
from glasses.backbone.repetition import until_round
from glasses.decoders.speech import Voice
from glasses.model_store.onnx import give_back_memory
from glasses.runtime.bundle import Parts
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


@dataclass(slots=True)
class SoFar:
    """What a turn has brought so far: it decides what its next part brings, and whether a question has to be put."""

    asked: bool = False  # in spoken or typed words
    typed: bool = False
    seen: bool = False
    n_spoken: int = 0  # soft tokens of the part before
    beside: Latents | None = None  # the part before, where it was a window of sound
    about: Float32Array | None = None  # what stands before a typed question about spoken words
    held: tuple[Float32Array, ...] = ()  # what was heard beside those words
    known: tuple[Latents, Float32Array] | None = None  # one part, and what `parts.words` has made of it already

    def text(self) -> list[Float32Array]:
        """Notes that text comes next; the rows to put before it."""
        before = [*([] if self.about is None else [self.about]), *self.held]
        self.about, self.held = None, ()
        self.asked = self.typed = True
        return before


def connect(parts: Parts, latents: Latents, so_far: SoFar) -> Float32Array:
    """One part as rows float32 (n, n_embd), n may be 0; notes in `so_far` what it was.

    A window of sound comes as two parts, what is said and what is heard besides. Spoken words are the request, and
    beside them the second says nothing - unless the request is typed: then both are what it is about. Raises
    ModelError(WRONG_SPACE).
    """
    beside, n_spoken = so_far.beside, so_far.n_spoken
    so_far.beside, so_far.n_spoken = None, 0
    if latents.modality == "image":
        so_far.seen = True
        return parts.image.apply(latents)
    if latents.modality == "sound":
        rows = parts.sound.apply(latents, beside)
        if n_spoken == 0 or so_far.typed:
            return rows
        so_far.held = (*so_far.held, rows)
        return rows[:0]
    known = so_far.known
    words = known[1] if known is not None and known[0] is latents else parts.words.apply(latents)
    so_far.beside, so_far.n_spoken = latents, len(words)
    so_far.asked = so_far.asked or so_far.n_spoken > 0
    rows = [parts.ambience.apply_beside_words(latents), words] if parts.ambience else [words]
    if len(words) and so_far.typed:
        rows.append(parts.words.about)
    elif len(words):
        so_far.about = parts.words.about
    return np.concatenate(rows)


def prompt_of(
    parts: Parts, given: Sequence[Latents | str], known: tuple[Latents, Float32Array] | None = None
) -> list[Part]:
    """Everything after the system prompt: the user's parts in order, a question where none was put, the suffix.

    `known` is one of the parts with the rows that `parts.words` has made of it: that takes as long as the encoder.
    """
    out: list[Part] = []
    so_far = SoFar(known=known)
    for part in given:
        if isinstance(part, str):
            out += [*so_far.text(), parts.backbone.tokenize(part, special=False)]
        else:
            out.append(connect(parts, part, so_far))
    return out + ending(parts, so_far)


def ending(parts: Parts, so_far: SoFar) -> list[Part]:
    """What stands between a turn's parts and its answer: a question where none was put, and the suffix."""
    question = [] if so_far.asked else [prompt.ABOUT_VIEW if so_far.seen else prompt.ABOUT_SOUND]
    return [parts.backbone.tokenize(text) for text in (*question, prompt.SUFFIX)]


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
    for i, piece in enumerate(until_round(pieces)):
        since_ns = times.add("first piece" if i == 0 else "more pieces", since_ns)
        yield piece
        since_ns = time.monotonic_ns()  # what the consumer does meanwhile is not the backbone's time


def warm_up(parts: Parts, voice: Voice | None, *, sees: bool = False) -> None:
    """A first turn touches every page of every model: nobody should wait for that, so it is asked by nobody.

    `sees`: about a picture as well. Raises ModelError from the voice, whose network may only be loaded here.
    """
    given = parts.hear(np.zeros(RATE_HZ, np.float32))
    if sees:
        given = (parts.image_encoder.encode(np.zeros((64, 64, 3), np.uint8)), *given)
    for _ in answer(parts, Turn(0, 0, "warm-up", given), Times(), max_tokens=1):
        pass
    parts.backbone.rollback(parts.n_prefix)
    if voice:
        voice.warm_up()
        give_back_memory()

"""THE SPINE: a Turn becomes rows in the backbone's space, rows become pieces. Knows no device and no file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glasses.backbone import prompt
from glasses.backbone.inputs import ModelInput
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Float32Array, Latents


@dataclass(slots=True)
class PromptState:
    """What a turn has brought so far: it decides what its next part brings, and whether a question has to be put."""

    asked: bool = False  # in spoken or typed words
    typed: bool = False
    seen: bool = False
    n_spoken: int = 0  # soft tokens of the part before
    beside: Latents | None = None  # the part before, where it was a window of sound
    about: Float32Array | None = None  # what stands before a typed question about spoken words
    held: tuple[Float32Array, ...] = ()  # what was heard beside those words
    known: tuple[Latents, Float32Array] | None = None  # one part, and what `loaded.words` has made of it already

    def text(self) -> list[Float32Array]:
        """Notes that text comes next; the rows to put before it."""
        before = [*([] if self.about is None else [self.about]), *self.held]
        self.about, self.held = None, ()
        self.asked = self.typed = True
        return before


def connect(loaded: LoadedBundle, latents: Latents, so_far: PromptState) -> Float32Array:
    """One part as rows float32 (n, n_embd), n may be 0; notes in `so_far` what it was.

    A window of sound comes as two parts, what is said and what is heard besides. Spoken words are the request, and
    beside them the second says nothing - unless the request is typed: then both are what it is about. Raises
    ModelError(WRONG_SPACE).
    """
    beside, n_spoken = so_far.beside, so_far.n_spoken
    so_far.beside, so_far.n_spoken = None, 0
    if latents.modality == "image":
        so_far.seen = True
        return loaded.image.apply(latents)
    if latents.modality == "sound":
        rows = loaded.sound.apply(latents, beside)
        if n_spoken == 0 or so_far.typed:
            return rows
        so_far.held = (*so_far.held, rows)
        return rows[:0]
    known = so_far.known
    words = known[1] if known is not None and known[0] is latents else loaded.words.apply(latents)
    so_far.beside, so_far.n_spoken = latents, len(words)
    so_far.asked = so_far.asked or so_far.n_spoken > 0
    rows = [loaded.ambience.apply_beside_words(latents), words] if loaded.ambience else [words]
    if len(words) and so_far.typed:
        rows.append(loaded.words.about)
    elif len(words):
        so_far.about = loaded.words.about
    return np.concatenate(rows)


def prompt_of(
    loaded: LoadedBundle, given: Sequence[Latents | str], known: tuple[Latents, Float32Array] | None = None
) -> list[ModelInput]:
    """Everything after the system prompt: the user's parts in order, a question where none was put, the suffix.

    `known` is one of the parts with the rows that `loaded.words` has made of it: that takes as long as the encoder.
    """
    out: list[ModelInput] = []
    so_far = PromptState(known=known)
    for part in given:
        if isinstance(part, str):
            out += [*so_far.text(), loaded.backbone.tokenize(part, special=False)]
        else:
            out.append(connect(loaded, part, so_far))
    return out + ending(loaded, so_far)


def ending(loaded: LoadedBundle, so_far: PromptState) -> list[ModelInput]:
    """What stands between a turn's parts and its answer: a question where none was put, and the suffix."""
    question = [] if so_far.asked else [prompt.ABOUT_VIEW if so_far.seen else prompt.ABOUT_SOUND]
    return [loaded.backbone.tokenize(text) for text in (*question, loaded.backbone.prompt_format.suffix)]

"""What users give to be answered, before it is encoded: is there anything in it, and what windows it is cut into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.audio.pauses import without_long_pauses
from glasses.audio.sound_files import is_silent
from glasses.audio.vad import Vad
from glasses.encoders.audio import windows
from glasses.media.picture_content import nothing_in
from glasses.media.view_quality import why_unseen
from glasses.model_store import store
from glasses.runtime.bundle import LoadedEncoders
from glasses.types import Float32Array, Latents

Given = str | np.ndarray | Latents  # text; sound float32 (N,); a picture uint8 (H, W, 3); what an encoder made


def what_shows_something(inputs: Sequence[Given]) -> tuple[list[Given], str]:
    """The inputs of a turn without silence and empty pictures, and what to reply if no sound and no picture is left.

    The reply is "" where something is left to ask about: the models would make up an answer about nothing.
    """
    empty = [why_empty(one) for one in inputs]
    kept = [one for one, why in zip(inputs, empty, strict=True) if why is None]
    return kept, reply_about([why for why in empty if why], kept)


def reply_about(empty: Sequence[str], kept: Sequence[Given]) -> str:
    """What to reply where sounds or pictures were left out, each `empty` for a reason that `why_empty` gave, and none
    are among what was kept; else "".
    """
    if any(isinstance(one, np.ndarray | Latents) for one in kept):
        return ""
    return next(iter(empty), "")


def why_empty(given: Given) -> str | None:
    """Why there is nothing in a sound or a picture, as a sentence to the wearer; None where there is something."""
    if not isinstance(given, np.ndarray) or not given.size:
        return None
    if given.ndim == 3 and given.shape[2] == 3 and given.dtype == np.uint8:
        why = nothing_in(given)
        return why_unseen(given) or None if why is None else f"I cannot see anything in the picture: {why}."
    if given.ndim == 1 and given.dtype == np.float32 and np.isfinite(given).all() and is_silent(given):
        return "I hear nothing: the sound is silent."
    return None  # or no sound and no picture: the encoders say what it is


def windows_of(loaded: LoadedEncoders, pcm: Float32Array) -> list[Float32Array]:
    """A sound, float32 (N,), as windows of the encoders, without its long pauses: Whisper mishears what is beside them.

    Raises ModelError: NOT_FOUND, CORRUPT (the voice detector).
    """
    return windows(without_long_pauses(pcm, Vad(store.path_of(loaded.bundle.vad))))

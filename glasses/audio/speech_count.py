"""Counts speech in the channels of a sound file, with the voice detector, to choose between them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count

import numpy as np
import soxr
from numpy.typing import NDArray

from glasses.audio.channels import Levels
from glasses.audio.vad import Vad
from glasses.errors import ModelError
from glasses.model_store import store
from glasses.types import SAMPLE_RATE_HZ, Float32Array

MAX_JUDGED_S = 120.0  # of a longer sound, parts that are spread over it
_PIECE_S = 4.0
_RMS = 0.05  # that each candidate is brought to: the detector hears nothing in a very quiet voice


def count_speech(
    blocks: Iterable[Float32Array], rate_hz: int, candidates: list[NDArray[np.float32]], measured: Levels
) -> list[int]:
    """Steps of 32 ms with speech in the sum of the channels with each of the weights (C,) in `candidates`.

    `blocks` are float32 (n, C) at `rate_hz`. [] where the voice detector is not installed.
    """
    try:
        path = store.path_of(store.load_bundle(store.DEFAULT_BUNDLE).vad)
        detector = Vad(path)
    except ModelError:
        return []
    gains = [_RMS / max(1e-9, measured.power(weights)) ** 0.5 for weights in candidates]
    weights = (np.stack(candidates, axis=1) * np.array(gains)).astype(np.float32)
    resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, len(candidates), dtype="float32")
    every = max(1, -(-measured.frames // round(MAX_JUDGED_S * rate_hz)))
    heard, pieces = [np.zeros((0, len(candidates)), np.int16)], count()
    for block in blocks:
        for piece in _pieces(np.nan_to_num(block) @ weights, round(_PIECE_S * rate_hz)):
            if next(pieces) % every == 0:
                pcm = resampler.resample_chunk(piece)
                heard.append(np.clip(pcm * 32767, -32768, 32767).astype(np.int16))
    return [int(detector.speech_in(np.ascontiguousarray(pcm)).sum()) for pcm in np.concatenate(heard).T]


def _pieces(block: Float32Array, length: int) -> list[Float32Array]:
    return [np.ascontiguousarray(block[at : at + length]) for at in range(0, len(block), length)]

"""Speaker encoder: whose voice it is, as a vector that two sentences of one person have nearly in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.encoders.mel import mel_power
from glasses.model_store.onnx import open_session
from glasses.types import SAMPLE_RATE_HZ, Float32Array

N_MELS = 40
WINDOW = 160  # mel frames, 1.6 s: the length that the network was trained on
MAX_WINDOWS = 3  # at most, of the loudest sound: more tell the voice hardly better
_LOUDNESS = 10 ** (-30 / 20)  # RMS that the network was trained on
_BLOCK = SAMPLE_RATE_HZ // 50  # 20 ms
_QUIET_RATIO = 0.08  # of the loud blocks' RMS: a quieter block, and one beside no louder one, is a pause
_MIN_BLOCKS = 20  # 400 ms of voice: from less nobody can be told


def voiced(pcm: Float32Array) -> Float32Array:
    """`pcm` without its pauses, the loudest stretch of it where it is longer than the network needs."""
    blocks = pcm[: len(pcm) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    if not len(blocks):
        return pcm[:0]
    rms = np.sqrt((blocks**2).mean(axis=1))
    is_loud = rms > max(_QUIET_RATIO * float(np.percentile(rms, 95)), 1e-5)
    keep = np.convolve(is_loud, np.ones(5), "same")[: len(blocks)] > 0
    kept, longest = blocks[keep], MAX_WINDOWS * WINDOW // 2
    if len(kept) > longest:
        power = np.cumsum(np.append(0.0, rms[keep] ** 2))
        first = int(np.argmax(power[longest:] - power[:-longest]))
        kept = kept[first : first + longest]
    return kept.reshape(-1)


class SpeakerEncoder:
    """float32 sound at 16 kHz -> a unit vector float32 (256,); the dot product of two tells whether they are one voice.

    Of one person it is around 0.8, of two around 0.5 (models/cards/speaker-ge2e.md). A millisecond for each 0.3 s here.
    """

    def __init__(self, path: Path, *, n_threads: int = 1) -> None:
        """Raises ModelError: NOT_FOUND, CORRUPT."""
        self._session = open_session(path, n_threads=n_threads)

    def encode(self, pcm: Float32Array) -> Float32Array | None:
        """The voice in float32 (N,), of any length; None where less than 0.4 s of it is loud enough to be a voice."""
        voice = voiced(pcm)
        if len(voice) < _MIN_BLOCKS * _BLOCK:
            return None
        voice = voice * np.float32(_LOUDNESS / np.sqrt((voice**2).mean()))
        frames = mel_power(voice, N_MELS)
        last = max(len(frames) - WINDOW, 0)
        starts = sorted({*range(0, last, WINDOW), last})
        windows = np.stack([frames[start : start + WINDOW] for start in starts]).astype(np.float32)
        (voices,) = self._session.run(None, {"mel": windows})
        mean = np.asarray(voices, np.float32).mean(axis=0)
        return mean / np.linalg.norm(mean)

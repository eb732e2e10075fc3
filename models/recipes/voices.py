"""Synthetic voices for training clips: sentence in, 16 kHz sound out.

Train voices: espeak-ng's variants, flite (kal, awb, slt), Piper joe, and Kokoro with three of the speakers at hand.
Held-out voices: flite rms and Kokoro's `jm_kumo` and `jf_nezumi`. Kokoro's speakers are Japanese; fed with
espeak-ng's English phonemes they speak clear, slightly accented English, which is welcome variety. Debian: espeak-ng,
flite. Kokoro-82M is Apache-2.0.
"""

from __future__ import annotations

import json
import random
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soxr

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from glasses.wake_word_training.voices import ESPEAK_ACCENTS, espeak, flite, from_wav
from glasses.wake_word_training.voices import Say as Voice

__all__ = ["ESPEAK_ACCENTS", "Kokoro", "Voice", "espeak", "flite", "from_wav", "piper"]

KOKORO_TRAIN = ("jf_alpha", "jf_gongitsune", "jf_tebukuro")
KOKORO_TEST = ("jm_kumo", "jf_nezumi")


@cache
def _piper(model: Path) -> Any:
    from piper import PiperVoice  # noqa: PLC0415  (GPL-3, train-time only)

    return PiperVoice.load(model)


def piper(text: str, rng: random.Random, model: Path) -> Float32Array:
    """Piper with random length and noise scales; a later change of pitch makes other speakers of it."""
    from piper import SynthesisConfig  # noqa: PLC0415

    scales = SynthesisConfig(
        length_scale=rng.uniform(0.8, 1.25), noise_scale=rng.uniform(0.4, 0.9), noise_w_scale=rng.uniform(0.6, 1.0)
    )
    voice = _piper(model)
    pcm = np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(text, syn_config=scales)])
    return soxr.resample(pcm, voice.config.sample_rate, SAMPLE_RATE_HZ).astype(np.float32)


class Kokoro:
    """Kokoro-82M from its ONNX file, phonemised by espeak-ng."""

    def __init__(self, model: Path, voices: Path, vocab: Path, names: tuple[str, ...]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options)
        self._styles = {name: np.load(voices)[name] for name in names}
        self._ids: dict[str, int] = json.loads(vocab.read_text())["vocab"]

    def __call__(self, text: str, rng: random.Random) -> Float32Array:
        command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", text]
        phonemes = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        ids = [self._ids[symbol] for symbol in " ".join(phonemes.split()) if symbol in self._ids]
        first, second = (self._styles[rng.choice(list(self._styles))][len(ids)] for _ in range(2))
        mix = np.float32(rng.random())  # a point between two speakers is a third one
        feed = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": mix * first + (1 - mix) * second,
            "speed": np.array([rng.uniform(0.85, 1.2)], np.float32),
        }
        pcm = np.asarray(self._session.run(None, feed)[0]).reshape(-1)
        return soxr.resample(pcm, 24_000, SAMPLE_RATE_HZ).astype(np.float32)

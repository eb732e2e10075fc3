"""What a room, a line and a microphone do to a clip. Knows sound, no text and no model. All at 16 kHz, float32 (N,)."""

from __future__ import annotations

import numpy as np
import soxr
from scipy import signal

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from glasses.wake_word_training.voices import add_at_snr, change_speed, noise

__all__ = ["add_at_snr", "change_speed", "for_speech", "noise", "room", "telephone"]


def telephone(pcm: Float32Array) -> Float32Array:
    """300-3400 Hz band at 8 kHz with 8-bit mu-law steps (ITU-T G.711)."""
    band = signal.sosfilt(signal.butter(4, [300, 3400], "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), pcm)
    low = np.clip(soxr.resample(band.astype(np.float32), SAMPLE_RATE_HZ, 8000), -1, 1)
    coded = np.round(np.sign(low) * np.log1p(255 * np.abs(low)) / np.log(256) * 127) / 127
    return soxr.resample((np.sign(coded) * (256 ** np.abs(coded) - 1) / 255).astype(np.float32), 8000, SAMPLE_RATE_HZ)


def room(pcm: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Convolves with exponentially decaying noise (RT60 0.1-0.5 s) behind a direct path."""
    rt60_s, wet = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5)
    n = int(rt60_s * SAMPLE_RATE_HZ)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail *= wet / np.sqrt((tail**2).sum())
    tail[0] += 1
    return signal.fftconvolve(pcm, tail)[: len(pcm) + n // 2].astype(np.float32)


def for_speech(pcm: Float32Array, rng: np.random.Generator) -> Float32Array:
    """The training mix: silence around, another speed, sometimes a room, noise or a telephone, any level."""
    pcm = change_speed(pcm, rng.uniform(0.85, 1.15))
    before, after = (int(rng.uniform(0.05, 0.5) * SAMPLE_RATE_HZ) for _ in range(2))
    pcm = np.pad(pcm, (before, after))
    if rng.random() < 0.35:
        pcm = room(pcm, rng)
    if rng.random() < 0.5:
        pcm = add_at_snr(pcm, noise(len(pcm), rng), rng.uniform(5, 30))
    if rng.random() < 0.25:
        pcm = telephone(pcm)
    peak = np.abs(pcm).max()
    return (pcm / max(peak, 1e-6) * rng.uniform(0.05, 0.95)).astype(np.float32)

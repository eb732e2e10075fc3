"""Degradations of clean speech, deterministic: noise and a telephone band. float32 (N,) at 16 kHz in and out."""

from __future__ import annotations

import numpy as np

from glasses.types import SAMPLE_RATE_HZ, Float32Array


def with_noise(pcm: Float32Array, snr_db: float = 10.0, seed: int = 0) -> Float32Array:
    """Adds pink noise (power falling 3 dB an octave) at `snr_db` below the clip's mean power."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(pcm)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), len(pcm))
    noise *= np.sqrt((pcm**2).mean() / (noise**2).mean()) * 10 ** (-snr_db / 20)
    return (pcm + noise).astype(np.float32)


def telephone(pcm: Float32Array) -> Float32Array:
    """Keeps 300-3400 Hz and rounds to the 8-bit mu-law steps of ITU-T G.711."""
    spectrum = np.fft.rfft(pcm)
    hz = np.fft.rfftfreq(len(pcm), 1 / SAMPLE_RATE_HZ)
    spectrum[(hz < 300) | (hz > 3400)] = 0
    band = np.clip(np.fft.irfft(spectrum, len(pcm)), -1, 1)
    coded = np.round(np.sign(band) * np.log1p(255 * np.abs(band)) / np.log(256) * 127) / 127
    return (np.sign(coded) * (256 ** np.abs(coded) - 1) / 255).astype(np.float32)

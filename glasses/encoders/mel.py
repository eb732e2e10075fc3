"""Mel front ends in numpy: Whisper's logarithmic one, and plain power. Knows samples and mel frames, no model.

Formula and constants: OpenAI Whisper, audio.py (n_fft 400, hop 160, 80 Slaney mel bands, log10 clamped 8 below the
maximum); mel filters as in librosa.filters.mel (Slaney scale and area normalisation).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from glasses.types import SAMPLE_RATE_HZ, Float32Array

N_FFT = 400
HOP = 160  # 10 ms
N_MELS = 80


def _hz_to_mel(frequency: Float32Array | float) -> np.ndarray:
    """Slaney's scale: linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 steps for a factor of 6.4)."""
    hz = np.asarray(frequency, np.float64)
    return np.where(hz < 1000, hz * 3 / 200, 15 + np.log(np.maximum(hz, 1000) / 1000) / (np.log(6.4) / 27))


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * (np.log(6.4) / 27)))


@cache
def mel_filters(n_mels: int = N_MELS) -> Float32Array:
    """Returns the triangular filter bank, float32 (n_mels, 201)."""
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, N_FFT // 2 + 1)
    edges_hz = _mel_to_hz(np.linspace(0, float(_hz_to_mel(SAMPLE_RATE_HZ / 2)), n_mels + 2))
    slopes = edges_hz[:, None] - bins_hz[None, :]
    widths = np.diff(edges_hz)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return (np.maximum(0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


@cache
def _window() -> Float32Array:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)  # periodic Hann


def mel_power(pcm: Float32Array, n_mels: int = N_MELS) -> Float32Array:
    """Turns float32 (N,) at 16 kHz, over 200 samples of it, into the power of each band, float32 (N // 160, n_mels)."""
    padded = np.pad(pcm, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][: len(pcm) // HOP]
    power = np.abs(np.fft.rfft(frames * _window(), axis=1)).astype(np.float32) ** 2
    return power @ mel_filters(n_mels).T


def log_mel(pcm: Float32Array) -> Float32Array:
    """Turns float32 (N,) at 16 kHz in [-1, 1] into float32 (80, N // 160), one column for 10 ms."""
    log = np.log10(np.maximum(mel_power(pcm), 1e-10))
    return np.ascontiguousarray(((np.maximum(log, log.max() - 8.0) + 4.0) / 4.0).T, dtype=np.float32)

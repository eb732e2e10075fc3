"""Simulated tones of voice: a calm recording made into a whisper or a shout.

There is no recorded tone data among the packages, so tones are simulated. Whisper: the vocal tract's filter of each
frame (linear prediction, order 18) is driven by noise in place of the glottal pulses; low frequencies fall away. Shout:
pitch and formants rise by 15 to 30 %, syllables grow longer, the upper spectrum gains 5 to 10 dB and the waveform is
compressed, as Rostolland (1982) describes shouted voice. Levels are normalised, so loudness cannot tell them apart.
"""

from __future__ import annotations

import numpy as np
from scipy import signal
from scipy.linalg import solve_toeplitz

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import augment

TONES = ("calm", "whispered", "shouted")
_FRAME, _HOP, _ORDER = 400, 200, 18


def whispered(pcm: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Noise-excited linear prediction, frame by frame (25 ms, half overlapping Hann windows)."""
    window = np.hanning(_FRAME)
    emphasised = signal.lfilter([1, -0.9], [1], pcm)
    out = np.zeros(len(pcm) + _FRAME)
    for at in range(0, len(pcm) - _FRAME, _HOP):
        frame = emphasised[at : at + _FRAME] * window
        r = np.correlate(frame, frame, "full")[_FRAME - 1 : _FRAME + _ORDER]
        if r[0] < 1e-6:
            continue
        r[0] *= 1.001  # keeps the filter stable on nearly periodic frames
        a = solve_toeplitz(r[:_ORDER], r[1:])
        made = signal.lfilter([1], np.concatenate([[1], -a]), rng.standard_normal(_FRAME))
        out[at : at + _FRAME] += made * window * np.sqrt(r[0] / max((made**2).sum(), 1e-9))
    out = signal.sosfilt(signal.butter(2, 250, "highpass", fs=SAMPLE_RATE_HZ, output="sos"), out)
    return _level(out[: len(pcm)])


def shouted(pcm: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Higher, slower, brighter, compressed."""
    lift = rng.uniform(1.15, 1.3)
    raised = _stretch(augment.change_speed(pcm, lift), lift * rng.uniform(1.05, 1.25))
    high = signal.sosfilt(signal.butter(1, 1000, "highpass", fs=SAMPLE_RATE_HZ, output="sos"), raised)
    bright = raised + (10 ** (rng.uniform(5, 10) / 20) - 1) * high
    return _level(np.tanh(bright / (np.sqrt((bright**2).mean()) + 1e-9) * rng.uniform(0.8, 1.6)))


def in_tone(pcm: Float32Array, tone: str, rng: np.random.Generator) -> Float32Array:
    """`pcm` in one of TONES."""
    return {"calm": lambda x, _: _level(x), "whispered": whispered, "shouted": shouted}[tone](pcm, rng)


def _level(pcm: np.ndarray) -> Float32Array:
    return (0.5 * pcm / max(float(np.abs(pcm).max()), 1e-6)).astype(np.float32)


def _stretch(pcm: Float32Array, factor: float) -> Float32Array:
    """Waveform-similarity overlap-add: `factor` times longer at the same pitch."""
    window, n, search = np.hanning(640), 320, 120
    padded = np.pad(pcm, (search, 640 + search + n))
    out = np.zeros(int(len(pcm) * factor) + 640)
    follow = padded[search : search + 640]
    for at in range(0, len(out) - 640, n):
        centre = min(int(at / factor), len(pcm)) + search
        region = padded[centre - search : centre + search + 640]
        best = int(np.argmax(np.correlate(region, follow, "valid"))) if len(region) >= 640 else 0
        start = centre - search + best
        frame = padded[start : start + 640]
        if len(frame) < 640:
            break
        out[at : at + 640] += frame * window
        follow = padded[start + n : start + n + 640]
        if len(follow) < 640:
            break
    return out[: int(len(pcm) * factor)].astype(np.float32)

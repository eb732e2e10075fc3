"""Makes clips of recordings: events repeated or strung together, cut at random,
with the effects of air and microphones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.types import SAMPLE_RATE_HZ, Float32Array
from models.recipes import augment

MAX_CLIP_S = 5.0
EVENT_S = 0.6  # shorter recordings are single events, heard again and again


def string_together(events: Sequence[Float32Array], rng: np.random.Generator, *, seconds: float) -> Float32Array:
    """Random single events (steps, keys, notes) at a steady pace with a little jitter -> (N,) of about `seconds`."""
    pace_s = rng.uniform(0.15, 0.7)
    out = np.zeros(int((seconds + 2) * SAMPLE_RATE_HZ), np.float32)
    at_s, end = 0.0, 1
    while at_s < seconds:
        event = events[rng.integers(len(events))][: int(2.0 * SAMPLE_RATE_HZ)]
        at = int(at_s * SAMPLE_RATE_HZ)
        end = min(len(out), at + len(event))
        out[at:end] += event[: end - at] * rng.uniform(0.6, 1)
        at_s += pace_s * rng.uniform(0.8, 1.2)
    return out[:end]


def repeat_event(pcm: Float32Array, rng: np.random.Generator, *, times: int) -> Float32Array:
    """A single event `times` times with gaps of 0.1-0.6 s and slightly different pitch."""
    parts: list[Float32Array] = []
    for _ in range(times):
        parts += [
            augment.change_speed(pcm, rng.uniform(0.97, 1.03)),
            np.zeros(int(rng.uniform(0.1, 0.6) * SAMPLE_RATE_HZ), np.float32),
        ]
    return np.concatenate(parts[:-1])


def loudest(pcm: Float32Array, seconds: float) -> Float32Array:
    """The stretch of at most `seconds` with the most energy."""
    n = int(seconds * SAMPLE_RATE_HZ)
    if len(pcm) <= n:
        return pcm
    energy = np.cumsum(np.square(pcm, dtype=np.float64))
    starts = np.arange(0, len(pcm) - n, SAMPLE_RATE_HZ // 20)
    return pcm[(start := int(starts[np.argmax(energy[starts + n] - energy[starts])])) : start + n]


def plain_clip(recordings: Sequence[Float32Array], rng: np.random.Generator, *, sequence: bool) -> Float32Array:
    """A clip for evaluation: strung together or as recorded; single events three times; the loudest 5 s; peak 0.5."""
    if sequence:
        pcm = string_together(recordings, rng, seconds=2.5)
    else:
        pcm = recordings[0]
        if len(pcm) < EVENT_S * SAMPLE_RATE_HZ:
            pcm = repeat_event(pcm, rng, times=3)
    pcm = loudest(pcm, MAX_CLIP_S)
    return (0.5 * pcm / np.abs(pcm).max()).astype(np.float32)


def training_clip(
    recordings: Sequence[Float32Array], others: Sequence[Float32Array], rng: np.random.Generator, *, sequence: bool
) -> Float32Array:
    """A random cut of a recording at another speed, often in a room, with noise or another sound behind it,
    at any level.
    """
    if sequence:
        pcm = string_together(recordings, rng, seconds=rng.uniform(0.8, 3.5))
    else:
        pcm = recordings[rng.integers(len(recordings))]
        if len(pcm) < EVENT_S * SAMPLE_RATE_HZ and rng.random() < 0.8:
            pcm = repeat_event(pcm, rng, times=int(rng.integers(2, 5)))
    n = int(rng.uniform(0.8, 4.0) * SAMPLE_RATE_HZ)
    if len(pcm) > n:
        # Half of the cuts around the loudest part, half anywhere: a wearer asks in the middle of a sound.
        start = int(rng.integers(len(pcm) - n))
        pcm = loudest(pcm, n / SAMPLE_RATE_HZ) if rng.random() < 0.5 else pcm[start : start + n]
    pcm = augment.change_speed(pcm, float(np.exp(rng.normal(0, 0.12))))
    pcm = np.pad(pcm, tuple(int(x * SAMPLE_RATE_HZ) for x in rng.uniform(0, 0.4, 2)))
    if rng.random() < 0.4:
        pcm = augment.room(pcm, rng)
    draw = rng.random()
    if draw < 0.35:
        pcm = augment.add_at_snr(pcm, augment.noise(len(pcm), rng), rng.uniform(5, 30))
    elif draw < 0.5:
        other = others[rng.integers(len(others))]
        pcm = augment.add_at_snr(pcm, np.resize(other, len(pcm)), rng.uniform(8, 25))
    return (pcm / max(float(np.abs(pcm).max()), 1e-6) * rng.uniform(0.05, 0.95)).astype(np.float32)

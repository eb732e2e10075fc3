"""A television in the wearer's room: talk, news, or talk with music, through a loudspeaker and the room's air.

Made of speech at hand, so that it needs no recording of anybody's programme. float32 (N,) at 16 kHz in and out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from glasses.types import SAMPLE_RATE_HZ, Float32Array

Programme = Literal["talk", "news", "music beside"]
PROGRAMMES: tuple[Programme, ...] = ("talk", "news", "music beside")
_PAUSES_S = {"talk": (0.1, 1.2), "news": (0.05, 0.4), "music beside": (0.1, 2.0)}  # between two sentences
_NEWS_TURN = 12  # sentences of one speaker before the next
_MUSIC_DB = (0.0, 8.0)  # below the talk
_LOUDEST, _SPEAKING_RMS = 0.9, 0.1


def spoken_rms(pcm: Float32Array) -> float:
    """RMS of the louder 20 ms blocks of speech: pauses do not count."""
    blocks = pcm[: len(pcm) // 320 * 320].reshape(-1, 320)
    return float(np.sqrt(np.percentile((blocks**2).mean(axis=1), 90))) if len(blocks) else 0.0


def at_level(pcm: Float32Array, rms: float) -> Float32Array:
    """`pcm` with its speech at `rms`, clipped to full scale."""
    return np.clip(pcm * (rms / max(spoken_rms(pcm), 1e-6)), -1, 1).astype(np.float32)


def through_room(pcm: Float32Array, rng: np.random.Generator) -> Float32Array:
    """As a microphone some metres off hears it: a loudspeaker's band, then 0.3 to 0.6 s of reverberation about as loud
    as the direct sound (Gaussian noise that decays exponentially: Polack's model). As long as `pcm`.
    """
    hz = np.fft.rfftfreq(len(pcm), 1 / SAMPLE_RATE_HZ)
    low, high = rng.uniform(120, 220), rng.uniform(5500, 7500)
    band = 1 / np.sqrt((1 + (low / np.maximum(hz, 1)) ** 8) * (1 + (hz / high) ** 8))
    decay_s = rng.uniform(0.3, 0.6)
    t = np.arange(round(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    response = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay_s)
    response[:40] = 0  # 2.5 ms until the first reflection
    response *= 10 ** (-rng.uniform(-4, 3) / 20) / np.sqrt((response**2).sum())
    response[0] += 1
    n = len(pcm) + len(response)
    heard = np.fft.irfft(np.fft.rfft(np.fft.irfft(np.fft.rfft(pcm) * band, len(pcm)), n) * np.fft.rfft(response, n), n)
    return heard[: len(pcm)].astype(np.float32)


def music(n: int, rng: np.random.Generator) -> Float32Array:
    """Chords with overtones and a beat, at unit RMS: four a bar, 100 beats a minute or so."""
    out, beat = np.zeros(n, np.float64), round(SAMPLE_RATE_HZ * 60 / rng.uniform(80, 130))
    roots = [220 * 2 ** (step / 12) for step in (0, 5, 7, 9, 3, -2)]
    for first in range(0, n, 4 * beat):
        root, third = rng.choice(roots), rng.choice([3, 4])
        for note in (0, third, 7, 12):
            t = np.arange(min(4 * beat, n - first)) / SAMPLE_RATE_HZ
            for overtone in range(1, 6):
                phase = 2 * np.pi * root * 2 ** (note / 12) * overtone * t + rng.uniform(0, 2 * np.pi)
                out[first : first + len(t)] += np.sin(phase) * np.exp(-1.5 * (t % (beat / SAMPLE_RATE_HZ))) / overtone
    for first in range(0, n, beat):
        hit = rng.standard_normal(min(800, n - first)) * np.exp(-np.arange(min(800, n - first)) / 150)
        out[first : first + len(hit)] += 3 * hit
    return (out / np.sqrt((out**2).mean() + 1e-12)).astype(np.float32)


def programme(
    kind: Programme, voices: Sequence[Sequence[Float32Array]], seconds: float, rng: np.random.Generator
) -> Float32Array:
    """So many seconds of television, unit RMS where somebody speaks, from the sentences of some voices.

    Talk changes the voice with every sentence, news after twelve. Sentences come again once all were heard.
    """
    n, parts, length = round(seconds * SAMPLE_RATE_HZ), list[Float32Array](), 0
    for sentence in _sentences(kind, voices, rng):
        pause = np.zeros(round(rng.uniform(*_PAUSES_S[kind]) * SAMPLE_RATE_HZ), np.float32)
        parts += [at_level(sentence, _SPEAKING_RMS) / _SPEAKING_RMS, pause]
        length += len(sentence) + len(pause)
        if length >= n:
            break
    talk: Float32Array = np.concatenate(parts)[:n].astype(np.float32)
    if kind == "music beside":
        talk += music(len(talk), rng) * np.float32(10 ** (-rng.uniform(*_MUSIC_DB) / 20))
    return through_room(talk, rng)


def _sentences(
    kind: Programme, voices: Sequence[Sequence[Float32Array]], rng: np.random.Generator
) -> Iterator[Float32Array]:
    left = [list[Float32Array]() for _ in voices]
    while True:
        which = int(rng.integers(len(voices)))
        for _ in range(_NEWS_TURN if kind == "news" else 1):
            if not left[which]:
                left[which] = [voices[which][i] for i in rng.permutation(len(voices[which]))]
            yield left[which].pop()

"""Trains a wake-word head on synthetic speech, and measures it on other voices, streamed through VAD and detector.

A network with one hidden layer is trained in numpy by Adam (Kingma and Ba, arXiv:1412.6980) on windows that end with
the phrase, against windows of near misses, of the phrase before its end, of everyday words, and of any other sound
given.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasses.audio.ring_buffer import RingBuffer
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import SPEECH, STEP, Vad
from glasses.errors import GlassesError
from glasses.heads.wake_word import WakeWordDetector, WakeWordHead
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Float32Array
from glasses.wake_word_training import phrases
from glasses.wake_word_training.examples import LEARNING, Tick, Windows
from glasses.wake_word_training.voices import Say, add_at_snr, noise, takes

COMPONENTS = 40  # of a latent
HIDDEN = 32
EPOCHS = 60
TESTING_PHRASE, TESTING_TALK, TESTING_SOUNDS = (f"testing: {what}" for what in ("the phrase", "talk", "other sounds"))
SOUND_SUFFIXES = (".wav", ".ogg", ".flac", ".mp3", ".opus", ".oga")
_LONGEST_S = 60.0  # of one file of other sounds that is taken
_CHUNK = 320


def fit(windows: Windows, phrase: str, space: str, window_s: float, *, tick: Tick, seed: int = 0) -> WakeWordHead:
    """Trains a head. Its threshold lets a tenth of the positive windows of a held-out sixth of the sources be missed.

    The held-out negatives are not used for the threshold: they contain hard negatives out of proportion.
    """
    labels, held = np.array(windows.labels), np.array(windows.sources) % 6 == 0
    some = np.concatenate([bins[::3] for bins in windows.bins]).astype(np.float32)
    _, vectors = np.linalg.eigh(np.cov(some - some.mean(axis=0), rowvar=False))
    frame = np.ascontiguousarray(vectors[:, -COMPONENTS:]).astype(np.float32)
    x = np.stack([(bins.astype(np.float32) @ frame).reshape(-1) for bins in windows.bins])
    mean, scale = x[~held].mean(axis=0), x[~held].std(axis=0) + 1e-2
    weights = _adam((x[~held] - mean) / scale, labels[~held], tick, seed)
    head = WakeWordHead(phrase, space, window_s, 0.5, frame, mean, scale, *weights)
    seen = np.maximum((x[held] - mean) / scale @ head.hidden + head.hidden_bias, 0)
    scores = 1 / (1 + np.exp(-np.clip(seen @ head.out[:-1] + head.out[-1], -30, 30)))
    with_it = scores[labels[held]]
    threshold = float(np.clip(np.quantile(with_it, 0.1) if len(with_it) else 0.5, 0.5, 0.95))
    return WakeWordHead(phrase, space, window_s, threshold, frame, mean, scale, *weights)


def _adam(x: Float32Array, labels: np.ndarray, tick: Tick, seed: int) -> tuple[Float32Array, ...]:
    """Two layers on (N, D): hidden (D, HIDDEN), its bias, and the output's weights with its bias at the end."""
    rng = np.random.default_rng(seed)
    n, width = x.shape
    weights = [
        rng.standard_normal((width, HIDDEN)) * (2 / width) ** 0.5,
        np.zeros(HIDDEN),
        np.append(rng.standard_normal(HIDDEN) * HIDDEN**-0.5, 0.0),
    ]
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    cost = np.where(labels, 0.5 / max(labels.mean(), 1e-3), 0.5 / max(1 - labels.mean(), 1e-3))
    step, steps = 0, EPOCHS * (n // 128 + 1)
    for epoch in range(EPOCHS):
        order = rng.permutation(n)
        for start in range(0, n, 128):
            batch = order[start : start + 128]
            seen = x[batch] + 0.3 * rng.standard_normal((len(batch), width))
            gradients = _gradients(weights, seen, labels[batch], cost[batch])
            step += 1
            rate = 2e-3 * (1 - step / (steps + 1))
            for i, gradient in enumerate(gradients):
                first[i] += 0.1 * (gradient - first[i])
                second[i] += 0.001 * (gradient**2 - second[i])
                update = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
                weights[i] -= rate * (update + (1e-2 * weights[i] if i == 0 else 0))
        tick(LEARNING, epoch + 1, EPOCHS)
    return tuple(w.astype(np.float32) for w in weights)


def _gradients(weights: list[Any], x: np.ndarray, labels: np.ndarray, cost: np.ndarray) -> list[np.ndarray]:
    """Of the weighted cross entropy, labels softened to 0.02 and 0.98."""
    hidden, bias, out = weights
    seen = np.maximum(x @ hidden + bias, 0)
    p = 1 / (1 + np.exp(-np.clip(seen @ out[:-1] + out[-1], -30, 30)))
    error = cost * (p - np.where(labels, 0.98, 0.02)) / len(x)
    back = error[:, None] * out[:-1] * (seen > 0)
    return [x.T @ back, back.sum(axis=0), np.append(seen.T @ error, error.sum())]


def sound_files(folders: Sequence[Path], *, learn: bool | None = None) -> list[Path]:
    """All sound files below, in an order that mixes folders but is the same each time.

    With `learn`, one half of them, by a checksum of the name: training and test files never overlap.
    """
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SOUND_SUFFIXES]
    found = [path for path in found if learn is None or zlib.crc32(path.name.encode()) % 2 == learn]
    return random.Random(0).sample(sorted(found), len(found))


def read_sounds(paths: Sequence[Path]) -> Iterator[Float32Array]:
    """The first minute of each; what is no sound after all is left out."""
    for path in paths:
        try:
            pcm = read_audio(path)
        except GlassesError:
            continue
        if len(pcm) >= SAMPLE_RATE_HZ // 2:
            yield pcm[: int(_LONGEST_S * SAMPLE_RATE_HZ)]


@dataclass(slots=True)
class Hearing:
    """VAD and wake-word detector as in `glasses run`, fed faster than real time."""

    gate: WakeWordDetector
    detector: Vad
    heard_s: float = 0.0
    spoken_s: float = 0.0

    def feed(self, pcm: Float32Array) -> list[float]:
        """One stretch of sound (N,), silence around it. Returns when the phrase was heard, seconds from its start."""
        ring, wakes, steps = RingBuffer(4), list[float](), 0
        self.detector.reset()
        self.gate.reset()
        sound = np.concatenate(
            [np.zeros(SAMPLE_RATE_HZ // 2), np.clip(pcm, -1, 1) * 32767, np.zeros(SAMPLE_RATE_HZ // 2)]
        )
        for seq, first in enumerate(range(0, len(sound) - _CHUNK, _CHUNK)):
            chunk = AudioChunk(
                first * NS_PER_S // SAMPLE_RATE_HZ, seq, sound[first : first + _CHUNK].astype(np.int16), SAMPLE_RATE_HZ
            )
            ring.append(chunk)
            for probability in self.detector.feed(chunk.pcm):
                steps += 1
                self.spoken_s += (probability >= SPEECH) * STEP / SAMPLE_RATE_HZ
                if self.gate.step(ring, steps * STEP * NS_PER_S // SAMPLE_RATE_HZ, probability):
                    wakes.append(steps * STEP / SAMPLE_RATE_HZ - 0.5)
                    self.gate.reset()
        self.heard_s += len(pcm) / SAMPLE_RATE_HZ
        return wakes


def missed(
    hearing: Hearing, phrase: str, says: dict[str, Say], n: int, tick: Tick, *, seed: int = 1
) -> tuple[int, int]:
    """Speaks the phrase `n` times in noise, half of them with more speech after it. Returns misses and n."""
    rng, noise_rng = random.Random(seed), np.random.default_rng(seed)
    misses = made = 0
    others = list(takes(says, phrases.everyday(rng), 8, rng))
    for pcm in takes(says, iter(lambda: phrase, None), n, rng):
        rest = [np.zeros(int(rng.uniform(0.1, 0.5) * SAMPLE_RATE_HZ), np.float32), rng.choice(others)]
        line = np.concatenate([np.zeros(SAMPLE_RATE_HZ // 2, np.float32), pcm, *(rest if rng.random() < 0.5 else [])])
        line = add_at_snr(line, noise(len(line), noise_rng), rng.uniform(8, 35))
        end_s = 0.5 + len(pcm) / SAMPLE_RATE_HZ
        heard = hearing.feed(line * rng.uniform(0.1, 0.9) / max(float(np.abs(line).max()), 1e-6))
        misses += not any(end_s - 0.2 <= at <= end_s + 0.8 for at in heard)
        made += 1
        tick(TESTING_PHRASE, made, n)
    return misses, made


def false_accepts(
    hearing: Hearing, clips: Iterator[Float32Array], hours: float, tick: Tick, *, stage: str = TESTING_TALK
) -> Iterator[dict[str, Any]]:
    """Feeds other sound, none of it twice, until `hours` have been heard; after each clip how often it woke so far."""
    began_s, spoken_s, wakes = hearing.heard_s, hearing.spoken_s, 0
    for pcm in clips:
        wakes += len(hearing.feed(pcm))
        heard_s = hearing.heard_s - began_s
        tick(stage, min(int(heard_s), int(hours * 3600)), int(hours * 3600))
        yield {
            "hours": round(heard_s / 3600, 3),
            "hours_of_voice": round((hearing.spoken_s - spoken_s) / 3600, 3),
            "false_accepts": wakes,
            "an_hour": round(wakes / heard_s * 3600, 2),
        }
        if heard_s >= hours * 3600:
            return

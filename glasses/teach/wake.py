"""Teaches a wake phrase: examples are spoken by the voices at hand, a small network learns them, and it is measured on
others, streamed through the real gates. Knows no device and no file of the phrase.

The network is learned in numpy by Adam (Kingma and Ba, arXiv:1412.6980) on windows that end with the phrase, against
windows of what almost sounds like it, of the phrase before its end, of everyday words, and of any other sound given.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glasses.encoders.audio import LATENTS_PER_S, AudioEncoder
from glasses.errors import GlassesError, InputError, Reason
from glasses.gates.ring import SoundRing
from glasses.gates.voice import SPEECH, STEP, VoiceDetector
from glasses.gates.wake import BIN, WakeGate, WakeHead, binned, leveled
from glasses.media import read_audio
from glasses.teach import phrases
from glasses.teach.voices import RATE_HZ, Say, add_at_snr, noise, takes
from glasses.types import AudioChunk, Float32Array

AFTER_S = (-0.02, 0.34)  # where the window ends after the phrase has: two looks, 160 ms apart, fall into it
COMPONENTS = 24  # of a latent
HIDDEN = 24
EPOCHS = 60
SOUND_SUFFIXES = (".wav", ".ogg", ".flac", ".mp3", ".opus", ".oga")
_WORST_S = 0.35  # at the beginning of a window beside the longest phrase heard
_LONGEST_S = 60.0  # of one file of other sounds that is taken
_CHUNK = 320

Tick = Callable[[str, int, int], None]  # stage, done, of how many


@dataclass(slots=True)
class Windows:
    """Bins of latents (n_bins, D) each, whether the phrase ends in the window, and by number the sound it came from."""

    bins: list[np.ndarray] = field(default_factory=list)
    labels: list[bool] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)


def window(pcm: Float32Array, end: int, n: int, rng: random.Random, noise_rng: np.random.Generator) -> Float32Array:
    """The `n` samples of `pcm` before sample `end`, zeros where there are none, with noise, as loud as any other."""
    first = end - n
    cut = pcm[max(first, 0) : max(end, 0)]
    cut = np.concatenate([np.zeros(max(0, -first), np.float32)[:n], cut, np.zeros(max(0, end - len(pcm)), np.float32)])
    cut = cut[-n:]
    if rng.random() < 0.7 and float((cut**2).mean()) > 0:
        cut = add_at_snr(cut, noise(n, noise_rng), rng.uniform(3, 35))
    return leveled(cut)


class Examples:
    """Makes windows of one phrase; `says` are the voices to learn from."""

    def __init__(self, phrase: str, encoder: AudioEncoder, says: dict[str, Say], seed: int = 0) -> None:
        self.phrase, self._encoder, self._says = phrase, encoder, says
        self._rng, self._noise = random.Random(seed), np.random.default_rng(seed)
        self.out = Windows()
        self._n_sources = 0
        self.window_s = 0.0

    def positives(self, n: int, recorded: Sequence[Float32Array], tick: Tick) -> list[Float32Array]:
        """`n` takes of the phrase beside those `recorded` by the wearer, some windows each. Returns the takes."""
        spoken = list(takes(self._says, iter(lambda: self.phrase, None), n, self._rng))
        if not spoken and not recorded:
            raise InputError(Reason.BAD_INPUT, f"no voice here says anything for {self.phrase!r}")
        spoken += [pcm for pcm in recorded for _ in range(max(1, n // (4 * len(recorded))))]
        lengths = [len(pcm) / RATE_HZ for pcm in spoken]
        self.window_s = round(min(3.0, float(np.quantile(lengths, 0.98)) + _WORST_S + AFTER_S[1]), 2)
        others = list(takes(self._says, phrases.everyday(self._rng), max(6, n // 8), self._rng))
        for i, pcm in enumerate(spoken):
            self._n_sources += 1
            for _ in range(5):
                before, after = self._rng.choice(others), self._rng.choice(others)
                gap = [np.zeros(int(self._rng.uniform(0.0, 0.4) * RATE_HZ), np.float32) for _ in range(2)]
                said = self._rng.random() < 0.5
                context = [before, gap[0]] if self._rng.random() < 0.4 else [np.zeros(8000, np.float32)]
                line = np.concatenate([*context, pcm, *([gap[1], after] if said else [])])
                end = sum(map(len, context)) + len(pcm)
                self._add(line, end + int(self._rng.uniform(*AFTER_S) * RATE_HZ), True)
            begun = int(self._rng.uniform(0.3, 0.8) * len(pcm))  # the phrase is not over yet
            self._add(np.concatenate([np.zeros(8000, np.float32), pcm]), 8000 + begun, False)
            tick("saying it", i + 1, len(spoken))
        return spoken

    def negatives(self, texts: Iterator[str], n: int, per_take: int, stage: str, tick: Tick) -> None:
        """Windows that end anywhere in `n` takes of other texts."""
        for i, pcm in enumerate(takes(self._says, texts, n, self._rng)):
            self._n_sources += 1
            for _ in range(per_take):
                self._add(pcm, self._rng.randint(RATE_HZ // 3, max(len(pcm), RATE_HZ // 2) + RATE_HZ // 4), False)
            tick(stage, i + 1, n)

    def sounds(self, clips: Iterator[Float32Array], detector: VoiceDetector, n: int, tick: Tick) -> None:
        """Windows of other sound where the voice detector fires: nothing else is ever looked at."""
        made = 0
        for pcm in clips:
            self._n_sources += 1
            spots = spoken_at(pcm, detector)
            for end in self._rng.sample(spots, min(6, len(spots))):
                self._add(pcm, end, False)
                made += 1
                tick("other sounds", min(made, n), n)
            if made >= n:
                return

    def mine(self, head: WakeHead, texts: Iterator[str], n: int, tick: Tick) -> int:
        """Looks at `n` takes all along, and keeps what was taken for the phrase. Returns how many windows."""
        found = 0
        for i, said in enumerate(takes(self._says, texts, n, self._rng)):
            self._n_sources += 1
            pcm = np.concatenate([said, np.zeros(RATE_HZ // 3, np.float32)])
            for end in range(RATE_HZ // 2, len(pcm), 5 * STEP):
                latents = self._encoder.encode(leveled(pcm[max(0, end - self._samples) : end])).data
                if head.probability(latents) > 0.2:
                    self._keep(latents, False)
                    found += 1
            tick("looking for mistakes", i + 1, n)
        return found

    @property
    def _samples(self) -> int:
        return int(self.window_s * RATE_HZ)

    def _add(self, pcm: Float32Array, end: int, label: bool) -> None:
        self._keep(self._encoder.encode(window(pcm, end, self._samples, self._rng, self._noise)).data, label)

    def _keep(self, latents: Float32Array, label: bool) -> None:
        self.out.bins.append(binned(latents, n_bins(self.window_s)).astype(np.float16))
        self.out.labels.append(label)
        self.out.sources.append(self._n_sources)


def n_bins(window_s: float) -> int:
    """Of a window."""
    return int(window_s * LATENTS_PER_S) // BIN


def fit(windows: Windows, phrase: str, space: str, window_s: float, *, tick: Tick, seed: int = 0) -> WakeHead:
    """Learns a head; its threshold is chosen on a sixth of the sources, which the weights do not see."""
    labels, held = np.array(windows.labels), np.array(windows.sources) % 6 == 0
    some = np.concatenate([bins[::3] for bins in windows.bins]).astype(np.float32)
    _, vectors = np.linalg.eigh(np.cov(some - some.mean(axis=0), rowvar=False))
    frame = np.ascontiguousarray(vectors[:, -COMPONENTS:]).astype(np.float32)
    x = np.stack([(bins.astype(np.float32) @ frame).reshape(-1) for bins in windows.bins])
    mean, scale = x[~held].mean(axis=0), x[~held].std(axis=0) + 1e-2
    weights = _adam((x[~held] - mean) / scale, labels[~held], tick, seed)
    head = WakeHead(phrase, space, window_s, 0.5, frame, mean, scale, *weights)
    seen = np.maximum((x[held] - mean) / scale @ head.hidden + head.hidden_bias, 0)
    scores = 1 / (1 + np.exp(-np.clip(seen @ head.out[:-1] + head.out[-1], -30, 30)))
    no = scores[~labels[held]]
    threshold = float(np.clip(np.quantile(no, 0.998) if len(no) else 0.5, 0.5, 0.95))
    return WakeHead(phrase, space, window_s, threshold, frame, mean, scale, *weights)


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
        tick("learning", epoch + 1, EPOCHS)
    return tuple(w.astype(np.float32) for w in weights)


def _gradients(weights: list[Any], x: np.ndarray, labels: np.ndarray, cost: np.ndarray) -> list[np.ndarray]:
    """Of the weighted cross entropy, labels softened to 0.02 and 0.98."""
    hidden, bias, out = weights
    seen = np.maximum(x @ hidden + bias, 0)
    p = 1 / (1 + np.exp(-np.clip(seen @ out[:-1] + out[-1], -30, 30)))
    error = cost * (p - np.where(labels, 0.98, 0.02)) / len(x)
    back = error[:, None] * out[:-1] * (seen > 0)
    return [x.T @ back, back.sum(axis=0), np.append(seen.T @ error, error.sum())]


def spoken_at(pcm: Float32Array, detector: VoiceDetector) -> list[int]:
    """Samples at which the detector hears speech, each 160 ms at the most."""
    detector.reset()
    sound = (np.clip(pcm, -1, 1) * 32767).astype(np.int16)
    steps = [i for i, probability in enumerate(detector.feed(sound)) if probability >= SPEECH]
    return [(i + 1) * STEP for i in steps if i % 5 == 0]


def sound_files(folders: Sequence[Path], *, learn: bool | None = None) -> list[Path]:
    """All sound files below, in an order that mixes folders but is the same each time.

    With `learn`, one half of them, by a checksum of the name: what is learned from is never tested with.
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
        if len(pcm) >= RATE_HZ // 2:
            yield pcm[: int(_LONGEST_S * RATE_HZ)]


@dataclass(slots=True)
class Hearing:
    """The gates as `glasses run` has them, fed as fast as they go."""

    gate: WakeGate
    detector: VoiceDetector
    heard_s: float = 0.0
    spoken_s: float = 0.0

    def feed(self, pcm: Float32Array) -> list[float]:
        """One stretch of sound (N,), silence around it. Returns when the phrase was heard, seconds from its start."""
        ring, wakes, steps = SoundRing(4), list[float](), 0
        self.detector.reset()
        self.gate.reset()
        sound = np.concatenate([np.zeros(RATE_HZ // 2), np.clip(pcm, -1, 1) * 32767, np.zeros(RATE_HZ // 2)])
        for seq, first in enumerate(range(0, len(sound) - _CHUNK, _CHUNK)):
            chunk = AudioChunk(
                first * 1_000_000_000 // RATE_HZ, seq, sound[first : first + _CHUNK].astype(np.int16), RATE_HZ
            )
            ring.append(chunk)
            for probability in self.detector.feed(chunk.pcm):
                steps += 1
                self.spoken_s += (probability >= SPEECH) * STEP / RATE_HZ
                if self.gate.step(ring, steps * STEP * 1_000_000_000 // RATE_HZ, probability):
                    wakes.append(steps * STEP / RATE_HZ - 0.5)
                    self.gate.reset()
        self.heard_s += len(pcm) / RATE_HZ
        return wakes


def missed(
    hearing: Hearing, phrase: str, says: dict[str, Say], n: int, tick: Tick, *, seed: int = 1
) -> tuple[int, int]:
    """Says the phrase `n` times with voices not learned from, half of them going on, in noise. Returns misses and n."""
    rng, noise_rng = random.Random(seed), np.random.default_rng(seed)
    misses = made = 0
    others = list(takes(says, phrases.everyday(rng), 8, rng))
    for pcm in takes(says, iter(lambda: phrase, None), n, rng):
        rest = [np.zeros(int(rng.uniform(0.1, 0.5) * RATE_HZ), np.float32), rng.choice(others)]
        line = np.concatenate([np.zeros(RATE_HZ // 2, np.float32), pcm, *(rest if rng.random() < 0.5 else [])])
        line = add_at_snr(line, noise(len(line), noise_rng), rng.uniform(8, 35))
        end_s = 0.5 + len(pcm) / RATE_HZ
        heard = hearing.feed(line * rng.uniform(0.1, 0.9) / max(float(np.abs(line).max()), 1e-6))
        misses += not any(end_s - 0.2 <= at <= end_s + 0.8 for at in heard)
        made += 1
        tick("testing: the phrase", made, n)
    return misses, made


def false_accepts(
    hearing: Hearing, clips: Iterator[Float32Array], hours: float, tick: Tick
) -> Iterator[dict[str, Any]]:
    """Feeds other sound, none of it twice, until `hours` have been heard; after each clip how often it woke so far."""
    began_s, spoken_s, wakes = hearing.heard_s, hearing.spoken_s, 0
    for pcm in clips:
        wakes += len(hearing.feed(pcm))
        heard_s = hearing.heard_s - began_s
        tick("testing: other sound", min(int(heard_s), int(hours * 3600)), int(hours * 3600))
        yield {
            "hours": round(heard_s / 3600, 3),
            "hours_of_voice": round((hearing.spoken_s - spoken_s) / 3600, 3),
            "false_accepts": wakes,
            "an_hour": round(wakes / heard_s * 3600, 2),
        }
        if heard_s >= hours * 3600:
            return

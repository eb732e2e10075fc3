"""Training windows for a wake phrase: the phrase, near misses, other talk and other sound; and hard-negative mining."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr

from glasses.audio.vad import STEP, Vad
from glasses.encoders.audio import LATENTS_PER_S, AudioEncoder
from glasses.errors import InputError, Reason
from glasses.heads.wake_word import BIN, WakeWordHead, binned, leveled
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from glasses.wake_word_training import phrases
from glasses.wake_word_training.voices import Say, add_at_snr, noise, takes

AFTER_S = (-0.02, 0.34)  # after the end of the phrase the window ends this late: two looks, 160 ms apart, fall into it
MISTAKEN = 0.1  # a negative window with at least this probability is a hard negative
_WORST_S = 0.35  # at the beginning of a window beside the longest phrase heard
_TELEPHONE_HZ = 8000

Tick = Callable[[str, int, int], None]  # stage, done, of how many
SAYING, OTHER_SOUNDS, LEARNING = "saying it", "other sounds", "learning"  # stages


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
    if rng.random() < 0.2:  # as through a telephone, or from far away
        cut = _dull(cut)
    if rng.random() < 0.7 and float((cut**2).mean()) > 0:
        cut = add_at_snr(cut, noise(n, noise_rng), rng.uniform(3, 35))
    return leveled(cut)


def _dull(pcm: Float32Array) -> Float32Array:
    low = soxr.resample(soxr.resample(pcm, SAMPLE_RATE_HZ, _TELEPHONE_HZ), _TELEPHONE_HZ, SAMPLE_RATE_HZ)
    return np.resize(low, len(pcm)).astype(np.float32)


class Examples:
    """Makes windows of one phrase."""

    def __init__(
        self, phrase: str, encoder: AudioEncoder, says: dict[str, Say], others: dict[str, Say], seed: int = 0
    ) -> None:
        """`says` are the voices that say the phrase, `others` those that say anything but."""
        self.phrase, self._encoder, self._says, self._others = phrase, encoder, says, others
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
        lengths = [len(pcm) / SAMPLE_RATE_HZ for pcm in spoken]
        self.window_s = round(min(3.0, float(np.quantile(lengths, 0.98)) + _WORST_S + AFTER_S[1]), 2)
        others = list(takes(self._says, phrases.everyday(self._rng), max(6, n // 8), self._rng))
        for i, pcm in enumerate(spoken):
            self._n_sources += 1
            for _ in range(5):
                before, after = self._rng.choice(others), self._rng.choice(others)
                gap = [np.zeros(int(self._rng.uniform(0.0, 0.4) * SAMPLE_RATE_HZ), np.float32) for _ in range(2)]
                said = self._rng.random() < 0.5
                context = [before, gap[0]] if self._rng.random() < 0.4 else [np.zeros(8000, np.float32)]
                line = np.concatenate([*context, pcm, *([gap[1], after] if said else [])])
                end = sum(map(len, context)) + len(pcm)
                self._add(line, end + int(self._rng.uniform(*AFTER_S) * SAMPLE_RATE_HZ), True)
            begun = int(self._rng.uniform(0.3, 0.8) * len(pcm))  # the phrase is not over yet
            self._add(np.concatenate([np.zeros(8000, np.float32), pcm]), 8000 + begun, False)
            tick(SAYING, i + 1, len(spoken))
        return spoken

    def negatives(self, texts: Iterator[str], n: int, per_take: int, stage: str, tick: Tick) -> None:
        """Windows that end anywhere in `n` takes of other texts."""
        for i, pcm in enumerate(takes(self._others, texts, n, self._rng)):
            self._n_sources += 1
            for _ in range(per_take):
                self._add(
                    pcm,
                    self._rng.randint(SAMPLE_RATE_HZ // 3, max(len(pcm), SAMPLE_RATE_HZ // 2) + SAMPLE_RATE_HZ // 4),
                    False,
                )
            tick(stage, i + 1, n)

    def sounds(self, clips: Iterator[Float32Array], detector: Vad, n: int, tick: Tick) -> None:
        """Windows of other sound where the VAD fires: the detector looks at nothing else."""
        made = 0
        for pcm in clips:
            self._n_sources += 1
            spots = spoken_at(pcm, detector)
            for end in self._rng.sample(spots, min(6, len(spots))):
                self._add(pcm, end, False)
                made += 1
                tick(OTHER_SOUNDS, min(made, n), n)
            if made >= n:
                return

    def mine(self, head: WakeWordHead, texts: Iterator[str], n: int, tick: Tick) -> int:
        """Adds the windows of `n` takes that `head` mistakes for the phrase. Returns how many."""
        found = 0
        for i, said in enumerate(takes(self._others, texts, n, self._rng)):
            self._n_sources += 1
            pcm = np.concatenate([said, np.zeros(SAMPLE_RATE_HZ // 3, np.float32)])
            for end in range(SAMPLE_RATE_HZ // 2, len(pcm), 5 * STEP):
                looked = window(pcm, end, self._samples, self._rng, self._noise)
                latents = self._encoder.encode(looked).data
                if head.probability(latents) > MISTAKEN:
                    self._keep(latents, False)
                    found += 1
            tick("looking for mistakes", i + 1, n)
        return found

    @property
    def _samples(self) -> int:
        return int(self.window_s * SAMPLE_RATE_HZ)

    def _add(self, pcm: Float32Array, end: int, label: bool) -> None:
        self._keep(self._encoder.encode(window(pcm, end, self._samples, self._rng, self._noise)).data, label)

    def _keep(self, latents: Float32Array, label: bool) -> None:
        self.out.bins.append(binned(latents, n_bins(self.window_s)).astype(np.float16))
        self.out.labels.append(label)
        self.out.sources.append(self._n_sources)


def n_bins(window_s: float) -> int:
    """Bins of latents in a window of `window_s`."""
    return int(window_s * LATENTS_PER_S) // BIN


def spoken_at(pcm: Float32Array, detector: Vad) -> list[int]:
    """Samples at which the detector hears speech, each 160 ms at the most."""
    steps = np.flatnonzero(detector.speech_in((np.clip(pcm, -1, 1) * 32767).astype(np.int16)))
    return [(int(i) + 1) * STEP for i in steps if i % 5 == 0]

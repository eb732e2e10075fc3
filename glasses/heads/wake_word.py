"""Wake-word detector: a small network on the audio encoder's latents, run only while somebody speaks.

It judges a window of sound that ends now: has the wake word just ended in it? What the backbone is given does not
depend on it: a detected wake word starts a turn as a button press does.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasses.audio.ring_buffer import RingBuffer
from glasses.audio.vad import SPEECH, STEP
from glasses.errors import ModelError, Reason
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, Float32Array, Latents

BIN = 4  # latents of 20 ms that are averaged
EVERY_STEPS = 5  # of 32 ms: how far two looks are apart
STEP_NS = STEP * NS_PER_S // SAMPLE_RATE_HZ
AFTER_STEPS = 10  # of silence, in which it still looks: the phrase ends before the detector says so
_MAX_BYTES = 1 << 20
_ARRAYS = ("frame", "mean", "scale", "hidden", "hidden_bias", "out")


@dataclass(frozen=True, slots=True)
class WakeWordHead:
    """Latents of a window -> probability that `phrase` has just ended in it: frames projected, stacked, two layers."""

    phrase: str
    space: str
    window_s: float
    threshold: float  # of the mean of two looks in a row
    frame: Float32Array  # (D, K): what of a latent is looked at
    mean: Float32Array  # (N,), N = bins of the window times K
    scale: Float32Array  # (N,)
    hidden: Float32Array  # (N, H)
    hidden_bias: Float32Array  # (H,)
    out: Float32Array  # (H + 1,): the last is the bias

    def features(self, latents: Float32Array) -> Float32Array:
        """(T, D) -> (N,)."""
        return (binned(latents, len(self.mean) // self.frame.shape[1]) @ self.frame).reshape(-1)

    def probability(self, latents: Float32Array) -> float:
        """0..1. Raises ModelError(BAD_INPUT) for latents of another width."""
        if latents.ndim != 2 or latents.shape[1] != len(self.frame):
            raise ModelError(Reason.BAD_INPUT, f"latents {latents.shape} given to a wake head for {len(self.frame)}")
        seen = np.maximum((self.features(latents) - self.mean) / self.scale @ self.hidden + self.hidden_bias, 0)
        return float(1 / (1 + np.exp(-np.clip(seen @ self.out[:-1] + self.out[-1], -30, 30))))

    def save(self, path: Path) -> None:
        """Writes the head; nothing half-written stays."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        arrays = {name: getattr(self, name).astype(np.float16) for name in _ARRAYS}
        names = {"phrase": np.array(self.phrase), "space": np.array(self.space)}
        np.savez_compressed(part, limits=np.array([self.window_s, self.threshold]), **names, **arrays)
        os.replace(part, path)


def binned(latents: Float32Array, n_bins: int) -> Float32Array:
    """(T, D) -> (n_bins, D): the last `n_bins` bins, each averaged; zeros before the beginning."""
    latents = latents[-n_bins * BIN :]
    before = np.zeros((n_bins * BIN - len(latents), latents.shape[1]), np.float32)
    return np.concatenate([before, latents]).reshape(n_bins, BIN, -1).mean(axis=1)


def load(path: Path) -> WakeWordHead:
    """Reads a head. Raises ModelError: NOT_FOUND, CORRUPT."""
    if not path.is_file():
        raise ModelError(
            Reason.NOT_FOUND,
            f'no wake phrase was trained: glasses wake-word train "hey glasses"'
            f"{'' if path.stem == 'wake' else f' --name {path.stem}'} ({path})",
        )
    if path.stat().st_size > _MAX_BYTES:
        raise ModelError(Reason.CORRUPT, f"{path}: too large for a wake head")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:  # from a damaged file it leaks it
            arrays = {name: file[name].astype(np.float32) for name in _ARRAYS}
            window_s, threshold = (float(value) for value in file["limits"])
            head = WakeWordHead(str(file["phrase"]), str(file["space"]), window_s, threshold, **arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not a wake head: {error}") from error
    n, h = head.hidden.shape if head.hidden.ndim == 2 else (0, 0)
    fits = head.frame.ndim == 2 and n % max(head.frame.shape[1], 1) == 0 and n > 0 and 0.4 <= window_s <= 5
    fits = fits and head.mean.shape == head.scale.shape == (n,) and head.out.shape == (h + 1,)
    if not fits or head.hidden_bias.shape != (h,) or not (head.scale > 0).all():
        raise ModelError(Reason.CORRUPT, f"{path}: not a wake head: its parts do not fit each other")
    return head


class WakeWordDetector:
    """`step` with each step of sound; True where the phrase has just been said."""

    def __init__(self, head: WakeWordHead, encode: Callable[[Float32Array], Latents], space: str) -> None:
        """`encode` is the audio encoder of `space`. Raises ModelError(WRONG_SPACE) for a head of another one."""
        if head.space != space:
            raise ModelError(
                Reason.WRONG_SPACE,
                f"the wake phrase was trained with the encoder {head.space!r}, this is {space!r}: train it again",
            )
        self.head, self._encode = head, encode
        self.reset()

    def reset(self) -> None:
        """A turn was opened, or another stream begins."""
        self._silent, self._due, self._looks = AFTER_STEPS + 1, 0, 0
        self._last: float | None = None  # what the look before gave, where it may count

    def step(self, ring: RingBuffer, to_ns: int, probability: float) -> bool:
        """Sound in `ring` up to `to_ns`, whose last 32 ms are speech with `probability`.

        True where two looks in a row, EVERY_STEPS apart, come to the threshold together. As both must be near it, every
        second look is left out, and made up for where its neighbour is.
        """
        self._silent = 0 if probability >= SPEECH else self._silent + 1
        self._due -= 1
        if self._silent > AFTER_STEPS:
            self._last, self._looks = None, 0
            return False
        if self._due > 0:
            return False
        self._due, self._looks = EVERY_STEPS, self._looks + 1
        if self._last is not None:
            now, last, self._last = self._look(ring, to_ns), self._last, None
            return (now + last) / 2 >= self.head.threshold
        if self._looks % 2:
            return False
        now = self._look(ring, to_ns)
        if now < 2 * self.head.threshold - 1:
            return False
        self._last = now
        return (now + self._look(ring, to_ns - EVERY_STEPS * STEP_NS)) / 2 >= self.head.threshold

    def _look(self, ring: RingBuffer, to_ns: int) -> float:
        pcm = ring.between(to_ns - round(self.head.window_s * 1e9), to_ns)
        return self.head.probability(self._encode(leveled(pcm)).data) if len(pcm) >= SAMPLE_RATE_HZ // 10 else 0.0


class EncodedOnce:
    """An encoder that gives the same sound, asked for again right away, its latents without work."""

    def __init__(self, encode: Callable[[Float32Array], Latents]) -> None:
        self._encode = encode
        self._last: tuple[Float32Array, Latents] | None = None

    def __call__(self, pcm: Float32Array) -> Latents:
        """Raises as the encoder."""
        if self._last is None or not np.array_equal(self._last[0], pcm):
            self._last = pcm, self._encode(pcm)
        return self._last[1]


class WakeWords:
    """Several phrases, each of which calls somebody; `called` is who was called last, at first nobody: ""."""

    def __init__(self, detectors: Mapping[str, WakeWordDetector]) -> None:
        """By whom each calls."""
        self._detectors = dict(detectors)
        self.called = ""

    def reset(self) -> None:
        """See `WakeWordDetector`."""
        for one in self._detectors.values():
            one.reset()

    def step(self, ring: RingBuffer, to_ns: int, probability: float) -> bool:
        """See `WakeWordDetector`."""
        heard = [whom for whom, one in self._detectors.items() if one.step(ring, to_ns, probability)]
        self.called = heard[0] if heard else self.called
        return bool(heard)


def leveled(pcm: Float32Array) -> Float32Array:
    """As loud as any other: the loudest sample at 0.5, but never more than 30 dB up."""
    return (pcm * min(0.5 / max(float(np.abs(pcm).max(initial=0.0)), 1e-6), 31.6)).astype(np.float32)

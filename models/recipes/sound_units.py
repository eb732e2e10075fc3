"""The units of the sound connectors: class probabilities of a pooled clip. Closed form in numpy.

Ridge regression on one-hot labels is solved once; a softmax over its scores, as sharp as the clips of left-out packages
ask for, gives the units. With a handful of recordings a class nothing deeper was found to be better.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Modality = Literal["audio", "sound"]  # Whisper's latents, 50 a second, or YAMNet's, two a second
# How a clip is pooled. YAMNet pools a second of its own; more than the mean over those is no better.
STATISTICS: dict[Modality, tuple[str, ...]] = {"audio": ("mean", "deviation", "peak"), "sound": ("mean",)}
CUTS = 2  # random cuts of each clip beside the whole one
SHORTEST_CUT: dict[Modality, int] = {"audio": 20, "sound": 1}  # latents: 0.4 s, one patch
D_SOUND = 1024  # of YAMNet's latents
HOP, PATCH = 24, 48  # Whisper's latents from one patch of YAMNet's to the next, and in one
BESIDE = 0.75  # how much Whisper's scores count beside YAMNet's: best on left-out packages, of 0, 1/4, 1/2, ... 1.5
RIDGE: dict[Modality, float] = {"audio": 6000.0, "sound": 4000.0}  # left-out packages fare alike over a decade around
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Pooled:
    """All clips pooled: `x` (n, d), unit index `y` (n,), fold by package (n,), unit names in order.

    Of the sound connector `x` is YAMNet's pooled latents and then Whisper's of the same stretch.
    """

    modality: Modality
    x: Array
    y: NDArray[np.int64]
    fold: NDArray[np.int64]
    names: list[str]


def pool(latents: Array, modality: Modality) -> Array:
    """(T, D) -> (d,): mean, standard deviation (with 1/T) and maximum over time, or the mean alone."""
    every = {"mean": latents.mean(0), "deviation": latents.std(0), "peak": latents.max(0)}
    return np.concatenate([every[name] for name in STATISTICS[modality]])


def read_clips(file: Path, modality: Modality) -> list[Array]:
    """Latents (T, D) of every clip of a file."""
    with np.load(file) as saved:
        if modality == "sound":
            latents, lengths = saved["sounds"].astype(np.float32), saved["sound_lengths"]
        else:
            latents, lengths = saved["rows"] * saved["scales"].astype(np.float32), saved["lengths"]
    return np.split(latents, np.cumsum(lengths)[:-1])


def cuts(n: int, shortest: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The whole of n latents, and CUTS stretches of it where it is long enough."""
    spans = [(0, n)]
    for _ in range(CUTS if n > 2 * shortest else 0):
        start = int(rng.integers(n - (length := int(rng.integers(shortest, n))) + 1))
        spans.append((start, start + length))
    return spans


def stretches(file: Path, modality: Modality, rng: np.random.Generator) -> Iterator[Array]:
    """Every clip of a file and its cuts, pooled."""
    heard = read_clips(file, "audio")
    for clip, beside in zip(heard if modality == "audio" else read_clips(file, modality), heard, strict=True):
        for a, b in cuts(len(clip), SHORTEST_CUT[modality], rng):
            if modality == "audio":
                yield pool(clip[a:b], modality)
                continue
            end = len(beside) if b == len(clip) else HOP * (b - 1) + PATCH
            yield np.concatenate([pool(clip[a:b], "sound"), pool(beside[min(HOP * a, len(beside) - 1) : end], "audio")])


def load_clips(folder: Path, modality: Modality, seed: int = 0) -> Pooled:
    """Pools every clip of sound_clips whole and in CUTS cuts."""
    rng = np.random.default_rng(seed)
    files = sorted(folder.glob("*@*.npz"))
    names = sorted({file.stem.split("@")[0] for file in files})
    x: list[Array] = []
    y: list[int] = []
    fold: list[int] = []
    for file in files:
        found = list(stretches(file, modality, rng))
        x += found
        y += [names.index(file.stem.split("@")[0])] * len(found)
        fold += [zlib.crc32(file.stem.encode()) % FOLDS] * len(found)
    return Pooled(modality, np.stack(x), np.array(y), np.array(fold), names)


def fit(modality: Modality, x: Array, y: NDArray[np.int64], n_units: int) -> tuple[Array, Array]:
    """Weights (d, n_units) and bias that score standardised `x`; the two encoders' are solved apart and added."""
    if modality == "audio":
        return solve(x, y, n_units, RIDGE["audio"])
    own, own_bias = solve(x[:, :D_SOUND], y, n_units, RIDGE["sound"])
    beside, bias = solve(x[:, D_SOUND:], y, n_units, RIDGE["audio"])
    return np.concatenate([own, BESIDE * beside]), own_bias + BESIDE * bias


def solve(x: Array, y: NDArray[np.int64], n_units: int, ridge: float) -> tuple[Array, Array]:
    """Weights (d, n_units) and bias of class-balanced ridge regression on standardised `x`."""
    weight = 1 / np.bincount(y, minlength=n_units).clip(1)[y]
    weight = (weight / weight.mean()).astype(np.float32)
    hot = np.eye(n_units, dtype=np.float32)[y]
    centre = (weight[:, None] * hot).mean(0)
    weighted = x * weight[:, None]
    covariance = weighted.T @ x
    covariance[np.diag_indices_from(covariance)] += ridge
    return np.linalg.solve(covariance, weighted.T @ (hot - centre)).astype(np.float32), centre


def log_loss(scores: Array, y: NDArray[np.int64], sharpness: float) -> float:
    """Mean negative log probability of `y` under the softmax of the scores times `sharpness`."""
    z = scores * sharpness
    z = z - z.max(1, keepdims=True)
    return float((np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]).mean())


def sharpness_for(clips: Pooled, x: Array) -> float:
    """The softmax's sharpness that fits clips of left-out packages best, over a grid."""
    held: list[tuple[Array, NDArray[np.int64]]] = []
    for fold in range(FOLDS):
        known = clips.fold != fold
        weights, bias = fit(clips.modality, x[known], clips.y[known], len(clips.names))
        ask = ~known & np.isin(clips.y, clips.y[known])
        held.append((x[ask] @ weights + bias, clips.y[ask]))
    scores, y = np.concatenate([s for s, _ in held]), np.concatenate([y for _, y in held])
    print(f"left-out packages: {np.mean(scores.argmax(1) == y):.3f} named right", flush=True)
    return min((float(s) for s in np.geomspace(2, 60, 16)), key=lambda s: log_loss(scores, y, s))

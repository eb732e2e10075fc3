"""The units of the sound connectors: which sound a pooled clip is. Closed form in numpy; knows no backbone.

Ridge regression on one-hot labels is solved once; a softmax over its scores, as sharp as the clips of left-out packages
ask for, gives the units. With a handful of recordings a class nothing deeper was found to be better.
"""

from __future__ import annotations

import zlib
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
RIDGE: dict[Modality, float] = {"audio": 6000.0, "sound": 4000.0}  # left-out packages fare alike over a decade around
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Pooled:
    """All clips pooled: `x` (n, d), unit index `y` (n,), fold by package (n,), unit names in order."""

    modality: Modality
    x: Array
    y: NDArray[np.int64]
    fold: NDArray[np.int64]
    names: list[str]


def pool(latents: Array, modality: Modality) -> Array:
    """(T, D) -> (d,): mean, standard deviation (with 1/T) and maximum over time, or the mean alone."""
    every = {"mean": latents.mean(0), "deviation": latents.std(0), "peak": latents.max(0)}
    return np.concatenate([every[name] for name in STATISTICS[modality]])


def read_clips(file: Path, modality: Modality) -> tuple[Array, NDArray[np.int64]]:
    """Latents of all clips of a file one after another, and how many belong to each clip."""
    with np.load(file) as saved:
        if modality == "sound":
            return saved["sounds"].astype(np.float32), saved["sound_lengths"]
        return saved["rows"] * saved["scales"].astype(np.float32), saved["lengths"]


def load_clips(folder: Path, modality: Modality, seed: int = 0) -> Pooled:
    """Pools every clip of sound_clips whole and in CUTS cuts."""
    rng = np.random.default_rng(seed)
    files = sorted(folder.glob("*@*.npz"))
    names = sorted({file.stem.split("@")[0] for file in files})
    x: list[Array] = []
    y: list[int] = []
    fold: list[int] = []
    for file in files:
        latents, lengths = read_clips(file, modality)
        shortest = SHORTEST_CUT[modality]
        for end, n in zip(np.cumsum(lengths), lengths, strict=True):
            clip = latents[end - n : end]
            spans = [(0, int(n))]
            for _ in range(CUTS if n > 2 * shortest else 0):
                start = int(rng.integers(n - (length := int(rng.integers(shortest, n))) + 1))
                spans.append((start, start + length))
            x += [pool(clip[a:b], modality) for a, b in spans]
            y += [names.index(file.stem.split("@")[0])] * len(spans)
            fold += [zlib.crc32(file.stem.encode()) % FOLDS] * len(spans)
    return Pooled(modality, np.stack(x), np.array(y), np.array(fold), names)


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
        fit = clips.fold != fold
        weights, bias = solve(x[fit], clips.y[fit], len(clips.names), RIDGE[clips.modality])
        ask = ~fit & np.isin(clips.y, clips.y[fit])
        held.append((x[ask] @ weights + bias, clips.y[ask]))
    scores, y = np.concatenate([s for s, _ in held]), np.concatenate([y for _, y in held])
    print(f"left-out packages: {np.mean(scores.argmax(1) == y):.3f} named right", flush=True)
    return min((float(s) for s in np.geomspace(2, 60, 16)), key=lambda s: log_loss(scores, y, s))

"""The units of the ambience connector: which sound a pooled clip is. Closed form in numpy; knows no backbone.

Ridge regression on one-hot labels is solved once; a softmax over its scores, as sharp as the clips of left-out packages
ask for, gives the units. With a handful of recordings a class nothing deeper was found to be better.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
CUTS = 2  # random cuts of each clip beside the whole one
RIDGE = 6000.0  # clips of left-out packages fare alike over a decade around it
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Pooled:
    """All clips pooled: `x` (n, 2304), unit index `y` (n,), fold by package (n,), unit names in order."""

    x: Array
    y: NDArray[np.int64]
    fold: NDArray[np.int64]
    names: list[str]


def pool(latents: Array) -> Array:
    """(T, 768) -> (2304,): mean, standard deviation (with 1/T) and maximum over time."""
    return np.concatenate([latents.mean(0), latents.std(0), latents.max(0)])


def load_clips(folder: Path, seed: int = 0) -> Pooled:
    """Pools every clip of sound_clips whole and in CUTS cuts of at least 0.4 s."""
    rng = np.random.default_rng(seed)
    files = sorted(folder.glob("*@*.npz"))
    names = sorted({file.stem.split("@")[0] for file in files})
    x: list[Array] = []
    y: list[int] = []
    fold: list[int] = []
    for file in files:
        with np.load(file) as saved:
            rows, scales, lengths = saved["rows"], saved["scales"].astype(np.float32), saved["lengths"]
        for end, n in zip(np.cumsum(lengths), lengths, strict=True):
            clip = rows[end - n : end] * scales[end - n : end]
            spans = [(0, int(n))]
            for _ in range(CUTS if n > 40 else 0):
                start = int(rng.integers(n - (length := int(rng.integers(20, n))) + 1))
                spans.append((start, start + length))
            x += [pool(clip[a:b]) for a, b in spans]
            y += [names.index(file.stem.split("@")[0])] * len(spans)
            fold += [zlib.crc32(file.stem.encode()) % FOLDS] * len(spans)
    return Pooled(np.stack(x), np.array(y), np.array(fold), names)


def solve(x: Array, y: NDArray[np.int64], n_units: int) -> tuple[Array, Array]:
    """Weights (2304, n_units) and bias of class-balanced ridge regression on standardised `x`."""
    weight = 1 / np.bincount(y, minlength=n_units).clip(1)[y]
    weight = (weight / weight.mean()).astype(np.float32)
    hot = np.eye(n_units, dtype=np.float32)[y]
    centre = (weight[:, None] * hot).mean(0)
    weighted = x * weight[:, None]
    covariance = weighted.T @ x
    covariance[np.diag_indices_from(covariance)] += RIDGE
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
        weights, bias = solve(x[fit], clips.y[fit], len(clips.names))
        ask = ~fit & np.isin(clips.y, clips.y[fit])
        held.append((x[ask] @ weights + bias, clips.y[ask]))
    scores, y = np.concatenate([s for s, _ in held]), np.concatenate([y for _, y in held])
    print(f"left-out packages: {np.mean(scores.argmax(1) == y):.3f} named right", flush=True)
    return min((float(s) for s in np.geomspace(2, 60, 16)), key=lambda s: log_loss(scores, y, s))

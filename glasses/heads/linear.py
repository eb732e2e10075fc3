"""Linear classifier heads on latents: logistic regression, trained and run in numpy.

A head is a file of a few kilobytes: weights, the mean and scale of the features, and the latent space they belong to.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

_MAX_BYTES = 4 << 20
_ITERATIONS = 50
_COMPONENTS = 256  # more only learn the training voices


@dataclass(frozen=True, slots=True)
class Head:
    """`probability` of features float32 (D,) made of latents of `space`."""

    space: str
    mean: Float32Array  # (D,)
    scale: Float32Array  # (D,)
    weights: Float32Array  # (D,)
    bias: float

    def probability(self, features: Float32Array) -> float:
        """0..1. Raises ModelError(BAD_INPUT) for another width."""
        if features.shape != self.weights.shape:
            raise ModelError(Reason.BAD_INPUT, f"features {features.shape} given to a head for {self.weights.shape}")
        score = float((features - self.mean) / self.scale @ self.weights) + self.bias
        return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))

    def save(self, path: Path) -> None:
        """Writes the head; nothing half-written stays."""
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            space=np.array(self.space),
            mean=self.mean.astype(np.float16),
            scale=self.scale.astype(np.float16),
            weights=self.weights.astype(np.float16),
            bias=np.array(self.bias, np.float32),
        )
        os.replace(part, path)


def load(path: Path) -> Head:
    """Reads a head. Raises ModelError: NOT_FOUND, CORRUPT."""
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such head")
    if path.stat().st_size > _MAX_BYTES:
        raise ModelError(Reason.CORRUPT, f"{path}: too large for a head")
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, scale, weights = (file[name].astype(np.float32) for name in ("mean", "scale", "weights"))
            head = Head(str(file["space"]), mean, scale, weights, float(file["bias"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not a head: {error}") from error
    if not (mean.shape == scale.shape == weights.shape and mean.ndim == 1 and (scale > 0).all()):
        raise ModelError(Reason.CORRUPT, f"{path}: not a head: its parts do not fit each other")
    return head


def fit(features: Float32Array, labels: np.ndarray, space: str, *, l2: float) -> Head:
    """Logistic regression with a Gaussian prior, both classes weighing the same.

    `features` (N, D), `labels` bool (N,). On the first _COMPONENTS principal components, by Newton's method (Hastie,
    Tibshirani, Friedman: The Elements of Statistical Learning, 4.4.1 and 18.3.5); `l2` is the prior's precision over N.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    x = ((features - mean) / scale).astype(np.float64)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    keep = np.flatnonzero(s > s[0] * 1e-5)[:_COMPONENTS]
    z = np.concatenate([u[:, keep] * s[keep], np.ones((len(x), 1))], axis=1)
    y = labels.astype(np.float64)
    sample = np.where(labels, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    prior = np.append(np.full(len(keep), l2 * len(x)), 1e-9)
    w = np.zeros(z.shape[1])
    for _ in range(_ITERATIONS):
        p = 1 / (1 + np.exp(-np.clip(z @ w, -30, 30)))
        gradient = z.T @ (sample * (p - y)) + prior * w
        hessian = (z * (sample * p * (1 - p))[:, None]).T @ z + np.diag(prior)
        step = np.linalg.solve(hessian + 1e-9 * np.eye(len(w)), gradient)
        w -= step
        if np.abs(step).max() < 1e-6 * (1 + np.abs(w).max()):
            break
    weights = vt[keep].T @ w[:-1]
    return Head(space, mean.astype(np.float32), scale.astype(np.float32), weights.astype(np.float32), float(w[-1]))

"""Trains the deep rows of added tokens: which call a prompt asks for, from the value vectors it left in the cache.

Numpy; knows no engine, message or network.

A regression over {none, token 1, .. token k} whose rows share one direction ("asks for a call at all"), so that what
one token's examples say of asking helps every other token. Few examples stand against thousands of values: all is done
in the space of the examples' principal components.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glasses.types import Float32Array

COMPONENTS, STEPS, RATE = 1000, 300, 0.02
SHARED, DECAY = 3.0, 1e-3  # by how much the shared direction moves faster than one row; weight of the squared rows


def fit(values: Float32Array, wanted: Any, n_tokens: int) -> tuple[Float32Array, float]:
    """Deep rows float32 (n_tokens, n_values + 1) from `values` (n, n_values) and `wanted` (n,), an index into the
    tokens or -1; and the share of examples where the right thing then comes.
    """
    middle, spread = values.mean(axis=0), values.std(axis=0) + np.float32(1e-3)
    even = (values - middle) / spread
    components, projection = principal(even)
    rows, bias = descend(components, wanted, n_tokens)
    rows = (rows @ projection.T) / spread
    deep = np.concatenate([rows, (bias - rows @ middle)[:, None]], axis=1).astype(np.float32)
    scores = values @ deep[:, :-1].T + deep[:, -1]
    chosen = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
    return deep, float((chosen == wanted).mean())


def principal(even: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Where (n, n_values) lie along their strongest directions (n, m), scaled to a root mean square length of 8, and
    what makes them of the values, (n_values, m).
    """
    n = min(COMPONENTS, *even.shape)
    sizes, vectors = np.linalg.eigh(even @ even.T)
    sizes, vectors = sizes[::-1][:n].clip(1e-3), vectors[:, ::-1][:, :n]
    components = vectors * np.sqrt(sizes)
    scale = 8 / np.sqrt(np.square(components).sum(axis=1).mean())
    return components * scale, even.T @ (vectors / np.sqrt(sizes)) * scale


def descend(x: Float32Array, wanted: Any, n_tokens: int) -> tuple[Float32Array, Float32Array]:
    """Rows (n_tokens, m) and biases (n_tokens,): Adam (Kingma and Ba 2015) on the cross-entropy of [0, scores], with
    requests and other turns weighing the same; every example is in every step.
    """
    called = wanted >= 0
    target = np.zeros((len(x), n_tokens), np.float32)
    target[np.flatnonzero(called), wanted[called]] = 1
    weight = np.where(called, 0.5 / max(1, called.sum()), 0.5 / max(1, (~called).sum())).astype(np.float32)[:, None]
    ones = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)
    # The last row is the shared direction. Biases start where none is likelier than a call.
    table = np.zeros((n_tokens + 1, ones.shape[1]), np.float32)
    table[:-1, -1] = -2.0
    mean, square = np.zeros_like(table), np.zeros_like(table)
    for step in range(1, STEPS + 1):
        scores = ones @ (table[:-1] + SHARED * table[-1]).T
        top = np.maximum(0, scores.max(axis=1, keepdims=True))
        exps = np.exp(scores - top)
        slope = ((exps / (exps.sum(axis=1, keepdims=True) + np.exp(-top)) - target) * weight).T @ ones
        slope = np.concatenate([slope, SHARED * slope.sum(axis=0, keepdims=True)])
        slope[:, :-1] += 2 * DECAY * table[:, :-1]
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        rate = RATE * min(1.0, 3 * (1 - step / STEPS))
        table -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-9)
    together = table[:-1] + SHARED * table[-1]
    return together[:, :-1], together[:, -1]

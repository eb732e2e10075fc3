"""Deep rows: linear classifiers on the value vectors that a prompt left in the KV cache. Numpy; no gradients.

They tell which added token, if any, an answer should begin with. The value vectors are there already, so asking costs
no decoding, and nothing of the backbone changes.

Training is a regression over {none, token 1, .. token k}. The rows share one direction ("calls a token at all"), so
what the examples of one token say about calling helps every other. There are few examples and thousands of values, so
it is done in the space of their principal components.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glasses.types import Float32Array

COMPONENTS, STEPS, RATE = 1000, 300, 0.02
SHARED = 3.0  # the shared direction moves this many times faster than a single row
DECAY = 1e-3  # weight of the squared rows


def fit(values: Float32Array, wanted: Any, n_tokens: int) -> tuple[Float32Array, float]:
    """Deep rows float32 (n_tokens, n_values + 1) from `values` (n, n_values) and `wanted` (n,), an index into the
    tokens or -1; and the share of examples where they choose rightly.
    """
    middle, spread = values.mean(axis=0), values.std(axis=0) + np.float32(1e-3)
    even = (values - middle) / spread
    components, projection = _principal(even)
    rows, bias = _descend(components, wanted, n_tokens)
    rows = (rows @ projection.T) / spread
    deep = np.concatenate([rows, (bias - rows @ middle)[:, None]], axis=1).astype(np.float32)
    scores = values @ deep[:, :-1].T + deep[:, -1]
    chosen = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
    return deep, float((chosen == wanted).mean())


def _principal(even: Float32Array) -> tuple[Float32Array, Float32Array]:
    """The principal components (n, m) of `even` (n, n_values), scaled to a root mean square length of 8, and the
    projection (n_values, m) that makes them.
    """
    n = min(COMPONENTS, *even.shape)
    sizes, vectors = np.linalg.eigh(even @ even.T)
    sizes, vectors = sizes[::-1][:n].clip(1e-3), vectors[:, ::-1][:, :n]
    components = vectors * np.sqrt(sizes)
    scale = 8 / np.sqrt(np.square(components).sum(axis=1).mean())
    return components * scale, even.T @ (vectors / np.sqrt(sizes)) * scale


def _descend(x: Float32Array, wanted: Any, n_tokens: int) -> tuple[Float32Array, Float32Array]:
    """Rows (n_tokens, m) and biases (n_tokens,) that minimise the cross-entropy of [0, scores], by Adam (Kingma and Ba
    2015) with all examples in every step. Examples that call weigh as much as those that do not.
    """
    called = wanted >= 0
    target = np.zeros((len(x), n_tokens), np.float32)
    target[np.flatnonzero(called), wanted[called]] = 1
    weight = np.where(called, 0.5 / max(1, called.sum()), 0.5 / max(1, (~called).sum())).astype(np.float32)[:, None]
    ones = np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)
    # The last row is the shared direction. The biases start where "none" is likelier than a call.
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

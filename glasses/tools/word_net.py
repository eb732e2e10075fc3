"""A small network over the rows of a turn: what is said there, as `width` numbers. Numpy.

Each row is scaled to one length and projected; convolutions over one, two and three rows find words and short phrases
wherever they stand, and their largest outputs and the mean of the rows are what comes out. It reads the rows that the
backbone is given, so soft tokens of speech and tokens of typed words alike; no word is ever chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasses.types import Float32Array

SPANS = (1, 2, 3)  # rows under a convolution


@dataclass(frozen=True, slots=True)
class WordNet:
    """`project` (n_embd, d), `project_bias` (d,); of each span `filters` (span * d, m) and `filter_bias` (m,)."""

    project: Float32Array
    project_bias: Float32Array
    filters: tuple[Float32Array, ...]
    filter_bias: tuple[Float32Array, ...]

    @property
    def width(self) -> int:
        """How many numbers come out."""
        return sum(one.shape[1] for one in self.filters) + self.project.shape[1]

    def values(self, rows: Float32Array) -> Float32Array:
        """Float32 (width,) of the rows (n, n_embd) of a turn, n > 0."""
        length = np.sqrt(np.square(rows).mean(axis=1, keepdims=True)) + np.float32(1e-9)
        words = (rows / length) @ self.project + self.project_bias
        found = [self._largest(words, span) for span in range(len(SPANS))]
        return np.concatenate([*found, words.mean(axis=0)]).astype(np.float32)

    def _largest(self, words: Float32Array, i: int) -> Float32Array:
        span = SPANS[i]
        padded = np.pad(words, ((span - 1, span), (0, 0)))  # one window holds nothing, as where sentences were padded
        windows = np.concatenate([padded[k : len(padded) - span + 1 + k] for k in range(span)], axis=1)
        return np.maximum(windows @ self.filters[i] + self.filter_bias[i], 0).max(axis=0)

    def arrays(self) -> dict[str, Any]:
        """What `of` reads."""
        made: dict[str, Any] = {"project": self.project.astype(np.float16), "project_bias": self.project_bias}
        for span, filters, bias in zip(SPANS, self.filters, self.filter_bias, strict=True):
            made |= {f"filters_{span}": filters.astype(np.float16), f"filter_bias_{span}": bias}
        return made


def of(arrays: Mapping[str, Any]) -> WordNet:
    """The network of a file's arrays. Raises KeyError, ValueError for those that are no network."""
    net = WordNet(
        arrays["project"].astype(np.float32),
        arrays["project_bias"].astype(np.float32),
        tuple(arrays[f"filters_{span}"].astype(np.float32) for span in SPANS),
        tuple(arrays[f"filter_bias_{span}"].astype(np.float32) for span in SPANS),
    )
    d = net.project.shape[1]
    fits = [
        one.shape == (span * d, len(bias)) for span, one, bias in zip(SPANS, net.filters, net.filter_bias, strict=True)
    ]
    everything = (net.project, net.project_bias, *net.filters, *net.filter_bias)
    if len(net.project_bias) != d or not all(fits) or not all(np.isfinite(one).all() for one in everything):
        raise ValueError("the layers do not fit each other, or are not finite")
    return net

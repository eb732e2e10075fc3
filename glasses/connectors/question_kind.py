"""Tells by the rows of a request what it asks about: ridge regression on the mean row of questions of both kinds.

It is fitted when it is first needed, in milliseconds, so that it is there for every backbone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.connectors.token_mixture import TokenRowSource
from glasses.types import Float32Array

RIDGE = 0.1  # from 0.03 to 0.3 the same questions are told apart


class QuestionKind:
    """Whether a request is more like the questions `asked` than like `others`."""

    def __init__(self, asked: Sequence[str], others: Sequence[str], backbone: TokenRowSource) -> None:
        self._questions, self._backbone = (asked, others), backbone
        self._weights: Float32Array | None = None  # (n_embd + 1,)

    def is_asked(self, rows: Float32Array) -> bool:
        """Of the rows (n, n_embd) of a request; no rows ask nothing."""
        if not len(rows):
            return False
        if self._weights is None:
            self._weights = self._fitted()
        return float(self._weights @ np.append(_direction(rows), 1.0)) > 0

    def _fitted(self) -> Float32Array:
        rows = [[self._direction_of(one) for one in questions] for questions in self._questions]
        told = [np.full(len(some), sign / len(some), np.float32) for some, sign in zip(rows, (1, -1), strict=True)]
        given = np.append(np.concatenate(rows), np.ones((sum(map(len, rows)), 1), np.float32), axis=1)
        wanted = np.concatenate(told) * len(given) / 2  # both kinds weigh the same
        inner = given @ given.T + RIDGE * np.eye(len(given), dtype=np.float32)
        return np.asarray(given.T @ np.linalg.solve(inner, wanted), np.float32)

    def _direction_of(self, question: str) -> Float32Array:
        return _direction(self._backbone.token_rows(self._backbone.tokenize(question, special=False)))


def _direction(rows: Float32Array) -> Float32Array:
    """The mean of rows, each of length 1: rare words have long rows in some backbones, short ones in others."""
    mean = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)).mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-6)

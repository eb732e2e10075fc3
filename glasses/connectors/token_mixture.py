"""Class probabilities -> soft tokens: the expected embedding of a text under a distribution over texts.

Every connector that drives a backbone through that backbone's own token embeddings uses this one mechanism:
`glasses.connectors.speech` for sub-words, `glasses.connectors.soft_tokens` for the classes of pictures and sounds. No
text is ever chosen: between two likely texts the backbone is given the point between their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glasses.types import Float32Array

N_MIXED = 8  # texts mixed in one soft token; the others are too unlikely to matter


class TokenRowSource(Protocol):
    """The part of a backbone that connectors need: its tokenizer and its token embeddings."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`."""
        ...

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        """Their embeddings float32 (len(ids), n_embd)."""
        ...


class TokenMixture:
    """Probabilities over `texts` -> rows of one backbone. Each text is tokenized when it is first needed."""

    def __init__(self, texts: Sequence[str], backbone: TokenRowSource) -> None:
        self._texts, self._backbone = texts, backbone
        self._tokens: dict[int, list[int]] = {}

    def tokens(self, index: int) -> list[int]:
        """Token ids of the text with this index; none for an empty text."""
        if index not in self._tokens:
            self._tokens[index] = self._backbone.tokenize(self._texts[index], special=False)
        return self._tokens[index]

    def rows(self, probabilities: Float32Array, n_mixed: int = N_MIXED) -> Float32Array:
        """Rows as `rows_of`, from the probabilities (len(texts),) of all texts; the `n_mixed` likeliest are mixed."""
        best = np.argsort(-probabilities, kind="stable")[:n_mixed]
        return self.rows_of(best, probabilities[best])

    def rows_of(self, indices: NDArray[np.integer], probabilities: Float32Array) -> Float32Array:
        """Rows (m, n_embd) from the texts `indices` (n,), the likeliest first, with `probabilities` (n,).

        m is the number of tokens of the likeliest text. Row j is the mean, weighted by the probabilities, of token j of
        those texts that have more than j tokens.
        """
        candidates = [(self.tokens(int(i)), float(p)) for i, p in zip(indices, probabilities, strict=True)]
        rows = []
        for j in range(len(candidates[0][0])):
            at_j = [(tokens[j], p) for tokens, p in candidates if len(tokens) > j]
            weights = np.array([p for _, p in at_j], np.float32)
            rows.append(weights / weights.sum() @ self._backbone.token_rows([token for token, _ in at_j]))
        return np.stack(rows).astype(np.float32) if rows else self._backbone.token_rows([])

"""The words of a turn's rows: the nearest token of the backbone's own table, where there is one.

Rows of typed words are rows of the table. A soft token of speech is a mixture that lies close to its likeliest token
(cosine over 0.9 for nine in ten); rows that are no words, such as those of a room's sound, lie near a sign or nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from glasses.backbone.llama import LlamaBackbone
from glasses.types import Float32Array

MIN_COSINE = 0.5  # under it a row is no word
_SKETCH, _KEPT = 32, 48  # numbers a token is first compared by, and tokens that are then compared in full
_CHUNK = 4096  # tokens whose rows are read at once


@dataclass(frozen=True, slots=True)
class SaidWord:
    """A word with the signs that hang on it; rows `first` to `last` spell it."""

    text: str
    first: int
    last: int


class Speller:
    """Spells rows of one backbone. Any thread may use it."""

    def __init__(self, table: LlamaBackbone) -> None:
        self._table = table
        rng = np.random.default_rng(0)
        self._directions = rng.standard_normal((table.n_embd, _SKETCH)).astype(np.float32)

    @cached_property
    def _sketches(self) -> Float32Array:
        """A short vector of length 1 for each token (n_vocab, _SKETCH): a quarter of a second for 49,152 tokens."""
        n = self._table.n_vocab
        parts = []
        for start in range(0, n, _CHUNK):
            rows = self._table.token_rows(range(start, min(n, start + _CHUNK)))
            parts.append(_unit(rows @ self._directions).astype(np.float16))
        return np.concatenate(parts)

    def prepare(self) -> None:
        """Reads the table now rather than with the first words."""
        _ = self._sketches

    def tokens(self, rows: Float32Array) -> list[int | None]:
        """The nearest token of each row (n, n_embd), None where none is near."""
        likely = _unit(rows @ self._directions) @ self._sketches.T.astype(np.float32)
        kept = np.argpartition(-likely, _KEPT, axis=1)[:, :_KEPT]
        found: list[int | None] = []
        for row, ids in zip(_unit(rows), kept, strict=True):
            cosines = _unit(self._table.token_rows([int(one) for one in ids])) @ row
            best = int(cosines.argmax())
            found.append(int(ids[best]) if cosines[best] >= MIN_COSINE else None)
        return found

    def words(self, rows: Float32Array) -> list[SaidWord]:
        """The words that rows (n, n_embd) spell, in order."""
        text, row_of = b"", list[int]()
        for i, token in enumerate(self.tokens(rows)):
            piece = b" " if token is None else self._table.vocabulary.token_bytes(token)
            text += piece
            row_of += [i] * len(piece)
        return [
            SaidWord(found[0].decode("utf-8", "ignore"), row_of[found.start()], row_of[found.end() - 1])
            for found in re.finditer(rb"\S+", text)
        ]


def _unit(rows: Float32Array) -> Float32Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-6)

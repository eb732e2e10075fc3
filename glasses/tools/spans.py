"""Finds the words of arguments: linear heads on the value vectors that words have in the backbone's KV cache.

The user's rows are fed once more behind themselves, so that each word is read with the whole sentence in view. For
every kind of argument three heads tell of each word whether the argument begins there, goes on, or ends there.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.backbone.kv_values import last_values
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason
from glasses.tools.said import SaidWord
from glasses.types import Float32Array

MAX_BYTES = 8 << 20
MARKS = 3  # begins, inside, ends
CHANGES = ("up", "down")
# What the backbone reads behind the request where the tool can turn something up or down: it then expects which.
_TOWARDS = "\nThe wearer wants the {} to go"


@dataclass(frozen=True, slots=True)
class Span:
    """Words `first` to `last` of a sentence; `score` is the log-odds that they are what is looked for."""

    score: float
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SpanHeads:
    """`space` names the backbone. `of_words` (kinds, 3, 2 * n_values + 1) is for each word's first and last row; the
    last number is the bias. `of_all` (2 * n_values + 1,) is for the sentence, see `sentence_features`: are all meant?
    `of_changes` (2, n_values + 1) is for `change_features`: "up", "down"?
    """

    space: str
    kinds: tuple[str, ...]
    of_words: NDArray[np.float16]
    of_all: NDArray[np.float16]
    of_changes: NDArray[np.float16]

    def scores(self, kind: str, features: Float32Array) -> Float32Array:
        """Log-odds (3, words) of words with `features` (words, 2 * n_values) to begin, be in and end the argument."""
        heads = self.of_words[self.kinds.index(kind)].astype(np.float32)
        return heads[:, :-1] @ features.T + heads[:, -1:]

    def score_all(self, features: Float32Array) -> float:
        """Log-odds that the request, of whose words these are the features, is for all of them."""
        head = self.of_all.astype(np.float32)
        return float(head[:-1] @ sentence_features(features) + head[-1])

    def score_changes(self, features: Float32Array) -> dict[str, float]:
        """Log-odds of each of CHANGES, by `change_features`."""
        heads = self.of_changes.astype(np.float32)
        return dict(zip(CHANGES, (heads[:, :-1] @ features + heads[:, -1]).tolist(), strict=True))

    def save(self, path: Path) -> None:
        """Writes the heads; nothing half-written stays."""
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            space=np.array(self.space),
            kinds=np.array(self.kinds),
            of_words=self.of_words,
            of_all=self.of_all,
            of_changes=self.of_changes,
        )
        os.replace(part, path)


def load(path: Path, space: str) -> SpanHeads:
    """Heads for the backbone `space`. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE."""
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such heads")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(Reason.CORRUPT, f"{path}: too large for heads")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            kinds = tuple(str(one) for one in file["kinds"])
            parts = [file[name] for name in ("of_words", "of_all", "of_changes")]
            heads = SpanHeads(str(file["space"]), kinds, *parts)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not heads of arguments: {error}") from error
    n = heads.of_words.shape[-1]
    shapes = ((len(heads.kinds), MARKS, n), (n,), (len(CHANGES), (n + 1) // 2))
    if not all(
        part.dtype == np.float16 and part.shape == shape and np.isfinite(part).all()
        for part, shape in zip(parts, shapes, strict=True)
    ):
        raise ModelError(Reason.CORRUPT, f"{path}: not heads of arguments: their sizes or numbers")
    if heads.space != space:
        raise ModelError(Reason.WRONG_SPACE, f"{path}: heads for backbone {heads.space}, this is {space}")
    return heads


def word_features(backbone: LlamaBackbone, rows: Float32Array, said: Sequence[SaidWord]) -> Float32Array:
    """Features float32 (words, 2 * n_values) of the words that `rows` spell; the cache is afterwards as it was.

    Raises ModelError: CONTEXT_FULL, ABORTED, UNSUPPORTED.
    """
    with backbone.aside():
        backbone.feed([rows])
        values = last_values(backbone.snapshot().kv, backbone.n_past, len(rows))
    return np.concatenate([values[[word.first for word in said]], values[[word.last for word in said]]], axis=1)


def change_features(backbone: LlamaBackbone, rows: Float32Array, what: str) -> Float32Array:
    """Features float32 (n_values,) of a request to turn `what` ("volume") up or down; else as `word_features`."""
    with backbone.aside():
        backbone.feed([rows, backbone.tokenize(_TOWARDS.format(what), special=False)])
        return last_values(backbone.snapshot().kv, backbone.n_past, 1)[0]


def sentence_features(features: Float32Array) -> Float32Array:
    """Of the features of all words, one vector: the mean of their last rows, and the last one's."""
    last_rows = features[:, features.shape[1] // 2 :]
    return np.concatenate([last_rows.mean(axis=0), last_rows[-1]])


def ranked(scores: Float32Array, longest: int = 40) -> list[Span]:
    """All spans of at most `longest` words by the log-odds of (3, words) marks, the best first."""
    begins, inside, ends = scores.astype(np.float64)
    n = len(begins)
    sums = np.concatenate([[0.0], np.cumsum(inside)])
    spans = [
        Span(float(begins[i] + ends[j] + sums[j + 1] - sums[i]), i, j)
        for i in range(n)
        for j in range(i, min(n, i + longest))
    ]
    return sorted(spans, key=lambda span: -span.score)

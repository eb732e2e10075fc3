"""A sentence encoder on onnxruntime: text in, a vector of its meaning out (all-MiniLM-L6-v2, int8)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.encoders.word_pieces import WordPieces
from glasses.errors import ModelError, Reason
from glasses.model_store.onnx import open_session, space_of
from glasses.types import Float32Array

MODEL = "sentence-minilm-l6-int8"
FILES = (f"{MODEL}.onnx", f"{MODEL}.bin", "vocab.txt")  # graph, weights, vocabulary
MOST_TOKENS = 128  # of a text: what it was trained with


class SentenceEncoder:
    """Text -> float32 (384,), of length 1; the product of two says how near their meanings are."""

    def __init__(self, graph: Path, weights: Path, vocabulary: Path, *, n_threads: int = 1) -> None:
        """`weights` is the file that the graph reads from, under the name that it has there.

        Raises ModelError: NOT_FOUND, CORRUPT.
        """
        self._session = open_session(graph, n_threads=n_threads, keep_arena=False, weights=weights.parent)
        self.space = space_of(MODEL, weights)
        try:
            self._pieces = WordPieces(vocabulary)
        except (OSError, KeyError, UnicodeDecodeError) as error:
            raise ModelError(Reason.CORRUPT, f"{vocabulary}: not the vocabulary of {MODEL}: {error!r}") from error

    def encode(self, text: str) -> Float32Array:
        """The vector of the first MOST_TOKENS tokens of `text`."""
        ids = np.array([self._pieces.ids_of(text, MOST_TOKENS)], np.int64)
        return np.asarray(self._session.run(["embedding"], {"ids": ids})[0], np.float32)[0]

"""The speech half of the audio connector: encoder latents -> near-word latents for one backbone. Knows no prompt.

A small network gives every 80 ms a state in the backbone's embedding space. States where somebody speaks are read
against the embedding rows of the tokens that may occur (CTC); a run of positions that agree becomes one *soft token*,
the embedding rows averaged under the network's own distribution, plus a learned residual. No token is ever chosen:
where the network wavers between two words, the backbone is given the point between them and decides with its own
context.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from glasses.connectors.pooled import check_space
from glasses.connectors.spelled import Speller, Spelling, read
from glasses.errors import ModelError, Reason
from glasses.onnx_session import open_session
from glasses.types import Float32Array, Latents, frozen

BLANK = 0
STACK = 4  # latents in one position; fewer are too short for a word
SPOKEN = 0.3  # tokens expected to be right, below which it is no speech; a full stop alone is a pause
N_MIXED = 8  # embedding rows mixed in one soft token; the rest of the distribution is noise


@dataclass(frozen=True, slots=True)
class SpokenAs:
    """How a backbone of another space is told what was heard: its spelling of the pieces, its rows around them."""

    pieces: Spelling
    begin: Float32Array
    end: Float32Array
    table: tuple[int, int]  # rows and width of the token table of the backbone that the network was trained for

    @classmethod
    def load(cls, path: Path, backbone: Speller) -> SpokenAs:
        """From a file of models/recipes/spelled.py. Raises ModelError: TOO_LARGE, CORRUPT."""
        told = read(path, {"pieces", "begin", "end", "table"})
        begin, end = (backbone.token_rows(backbone.tokenize(told[side])) for side in ("begin", "end"))
        n_vocab, n_embd = told["table"]
        return cls(Spelling(told["pieces"], backbone), begin, end, (n_vocab, n_embd))


class WordConnector:
    """Latents (T, 768) -> rows (n, n_embd), n = learned begin rows, one row a spoken token, learned end rows; or (0,
    n_embd).

    The file's metadata names the latent space it was trained on and the backbone tokens it may mix; their rows are
    asked of the backbone itself (`token_rows`), so that they are exactly what it would look up.

    For another backbone than that, `spoken` tells it what was heard; `token_rows` are still those of the first.
    """

    def __init__(
        self,
        path: Path,
        token_rows: Callable[[Sequence[int]], Float32Array],
        *,
        spoken: SpokenAs | None = None,
        n_threads: int = 2,
    ) -> None:
        self._session = open_session(path, n_threads=n_threads)
        self.width: int = self._session.get_inputs()[0].shape[-1]  # of the latents it takes
        metadata = self._session.get_modelmeta().custom_metadata_map
        try:
            self.space = metadata["space"]
            self.token_ids: list[int] = json.loads(metadata["token_ids"])
            self._closing = {1 + i for i in json.loads(metadata["closing"])}
        except (KeyError, json.JSONDecodeError) as error:
            raise ModelError(
                Reason.CORRUPT, f"{path}: not a word connector, {error} is missing or unreadable"
            ) from error
        self._table = token_rows(self.token_ids)
        widths = {output.name: output.shape[0] for output in self._session.get_outputs()}
        self._around: tuple[int, int] = (widths["begin"], widths["end"])
        self._spoken = spoken
        if spoken:
            if len(spoken.pieces.tokens) != len(self.token_ids):
                raise ModelError(
                    Reason.CORRUPT, f"{path} has {len(self.token_ids)} pieces, not {len(spoken.pieces.tokens)}"
                )
            self._around = (len(spoken.begin), len(spoken.end))

    def apply(self, latents: Latents) -> Float32Array:
        """Returns the rows for what was said, none where nobody speaks. Raises ModelError(WRONG_SPACE)."""
        check_space(latents, self.space)
        n_embd = self._spoken.begin.shape[1] if self._spoken else self._table.shape[1]
        nobody_speaks = np.zeros((0, n_embd), np.float32)
        if len(latents.data) < STACK:
            return nobody_speaks
        probabilities, residual, begin, end = self._run(latents)
        path = probabilities.argmax(axis=1)
        spoken = runs(path)
        certain = [probabilities[a:b, path[a]].max() for a, b in spoken if path[a] not in self._closing]
        if sum(certain) < SPOKEN:
            return nobody_speaks
        if self._spoken:
            said = [self._spoken.pieces.soft(probabilities[first:after, 1:].mean(axis=0)) for first, after in spoken]
            return frozen(np.concatenate([self._spoken.begin, *said, self._spoken.end]))
        rows = [self._soft_token(probabilities[first:after], residual[first:after]) for first, after in spoken]
        return frozen(np.concatenate([begin, np.stack(rows), end]))

    def soft_tokens(self, rows: Float32Array) -> Float32Array:
        """Of the rows that `apply` gave: one a spoken token, without those it puts around them."""
        first, after = self._around
        return rows[first : len(rows) - after]

    def _run(self, latents: Latents) -> tuple[Float32Array, Float32Array, Float32Array, Float32Array]:
        """Softmax (P, 1 + n_tokens), residual (P, n_embd), begin and end rows (k, n_embd)."""
        states, blank, residual, begin, end = (
            np.asarray(out)
            for out in self._session.run(["states", "blank", "residual", "begin", "end"], {"latents": latents.data})
        )
        scores = np.concatenate([blank[:, None], states @ self._table.T], axis=1)
        scores -= scores.max(axis=1, keepdims=True)
        weights = np.exp(scores)
        return weights / weights.sum(axis=1, keepdims=True), residual, begin, end

    def _soft_token(self, probabilities: Float32Array, residual: Float32Array) -> Float32Array:
        spoken = probabilities[:, 1:].mean(axis=0)
        best = np.argpartition(spoken, -N_MIXED)[-N_MIXED:]
        weights = spoken[best] / spoken[best].sum()
        return weights @ self._table[best] + residual.mean(axis=0)


def runs(path: np.ndarray) -> list[tuple[int, int]]:
    """Spans (first, after) of equal, non-blank entries of a greedy CTC path."""
    edges = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [(first, after) for first, after in pairwise(edges) if after > first and path[first] != BLANK]

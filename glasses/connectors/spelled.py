"""Connectors for a backbone that none was trained for: what another backbone's connectors find, said in its own rows.

What a connector finds - which piece of a word, which thing, which sound - does not depend on the backbone that reads
it; only the rows it is told in do. Here the same network gives the weights, and they mix the token rows of the
*texts* of what they stand for, as this backbone spells them. Doubt stays a point between rows: nothing is chosen, and
no sentence is made. Nothing is learned either, so any backbone that is fed with latents can be given these.

Knows no encoder, bundle or prompt. The files (JSON) are made by `models/recipes/spelled.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from glasses.connectors.pooled import Network
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, Latents, frozen

N_MIXED = 8  # texts mixed in one soft token, as in glasses.connectors.words
MAX_FILE_BYTES = 1 << 20


class Speller(Protocol):
    """What is needed of a backbone."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`."""
        ...

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        """Their rows float32 (len(ids), n_embd)."""
        ...


class Spelling:
    """`texts` as a backbone spells them."""

    def __init__(self, texts: Sequence[str], backbone: Speller) -> None:
        self.tokens = [backbone.tokenize(text, special=False) for text in texts]
        self._rows = backbone.token_rows

    def soft(self, weights: Float32Array, n_mixed: int = N_MIXED) -> Float32Array:
        """Rows (m, n_embd) for one thing of which `weights` (len(texts),) tell how likely it is which text.

        m is how many tokens the likeliest text has; the j-th row is the mean of the j-th tokens of the `n_mixed`
        likeliest texts that are so long, under their weights.
        """
        best = np.argsort(-weights, kind="stable")[:n_mixed]
        mixed = []
        for j in range(len(self.tokens[best[0]])):
            long_enough = [i for i in best if len(self.tokens[i]) > j]
            share = weights[long_enough] / weights[long_enough].sum()
            mixed.append(share @ self._rows([self.tokens[i][j] for i in long_enough]))
        return np.stack(mixed).astype(np.float32)


class SpelledConnector:
    """Latents (T, D) -> rows float32 (n, n_embd): a sentence whose gaps are filled with soft tokens.

    `path` names the tensor of `units_path`, an ONNX connector of another backbone, that holds its units (regions,
    n_units); what the units are called in `names` and, more coarsely, `kinds`; and the sentence: texts, and gaps
    {"region": r, "say": "names" | "kinds"}.

    Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT.
    """

    def __init__(self, path: Path, units_path: Path, backbone: Speller, *, n_threads: int = 2) -> None:
        told = read(path, {"units", "names", "kinds", "sentence"})
        self._network, self._units = Network(units_path, n_threads=n_threads, also=told["units"]), told["units"]
        self.width, self.space = self._network.width, self._network.space
        self._spellings = {what: Spelling([f" {name}" for name in told[what]], backbone) for what in ("names", "kinds")}
        self._sentence: list[Float32Array | tuple[int, str]] = [
            backbone.token_rows(backbone.tokenize(part)) if isinstance(part, str) else (part["region"], part["say"])
            for part in told["sentence"]
        ]

    def apply(self, latents: Latents, beside: Latents | None = None) -> Float32Array:
        """Returns the rows; `beside` as `Network.run`. Raises ModelError(WRONG_SPACE)."""
        units = self._network.run(self._units, latents, beside)
        rows = [p if isinstance(p, np.ndarray) else self._spellings[p[1]].soft(units[p[0]]) for p in self._sentence]
        return frozen(np.concatenate(rows))


def read(path: Path, keys: set[str]) -> dict[str, Any]:
    """A file of this module's; ModelError: TOO_LARGE, or CORRUPT where it is not JSON with just `keys`."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_FILE_BYTES:,} bytes")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not JSON: {error}") from error
    if not isinstance(told, dict) or told.keys() != keys:
        raise ModelError(Reason.CORRUPT, f"{path}: must hold {', '.join(sorted(keys))} and nothing else")
    return told

"""Connectors for a backbone that none was trained for: what another backbone's connectors find, said in its own rows.

What a connector finds - which piece of a word, which thing, which sound - does not depend on the backbone that reads
it; only the rows it is told in do. Here the same network gives the weights, and they mix the token rows of the
*texts* of what they stand for, as this backbone spells them. Doubt stays a point between rows: nothing is chosen, and
no sentence is made. Nothing need be learned, so any backbone that is fed with latents can be given these. What was
learned for one (`glasses.connectors.backbone_adapter`) is used where there is a file of it.

Knows no encoder, bundle or prompt. The files (JSON) are made by `models/recipes/spelled.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from glasses.connectors import backbone_adapter
from glasses.connectors.pooled import Network
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, Latents, frozen

N_MIXED = 8  # texts mixed in one soft token, as in glasses.connectors.speech
MAX_FILE_BYTES = 1 << 20


class TokenRowSource(Protocol):
    """What is needed of a backbone."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids of `text`."""
        ...

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        """Their rows float32 (len(ids), n_embd)."""
        ...


class TokenMixture:
    """`texts` as a backbone spells them; a text is asked about when it is first needed."""

    def __init__(self, texts: Sequence[str], backbone: TokenRowSource) -> None:
        self._texts, self._backbone = texts, backbone
        self._known: dict[int, list[int]] = {}

    def tokens(self, which: int) -> list[int]:
        """Of one text; none of an empty one."""
        if which not in self._known:
            self._known[which] = self._backbone.tokenize(self._texts[which], special=False)
        return self._known[which]

    def soft(self, weights: Float32Array, n_mixed: int = N_MIXED) -> Float32Array:
        """Rows as `mixed`, for one thing of which `weights` (len(texts),) tell how likely it is which text."""
        best = np.argsort(-weights, kind="stable")[:n_mixed]
        return self.mixed(best, weights[best])

    def mixed(self, which: np.ndarray, weights: Float32Array) -> Float32Array:
        """Rows (m, n_embd) for one thing that may be `which` (n,) texts, the likeliest first, as `weights` (n,) say.

        m is how many tokens the likeliest text has; the j-th row is the mean of the j-th tokens of those texts that are
        so long, under their weights.
        """
        spelt = [(self.tokens(int(i)), float(weight)) for i, weight in zip(which, weights, strict=True)]
        rows = []
        for j in range(len(spelt[0][0])):
            at = [(tokens[j], weight) for tokens, weight in spelt if len(tokens) > j]
            share = np.array([weight for _, weight in at], np.float32)
            rows.append(share / share.sum() @ self._backbone.token_rows([token for token, _ in at]))
        return np.stack(rows).astype(np.float32) if rows else self._backbone.token_rows([])


class SoftTokenConnector:
    """Latents (T, D) -> rows float32 (n, n_embd): a sentence whose gaps are filled with soft tokens.

    `path` names the tensor of `units_path`, an ONNX connector of another backbone, that holds its units (regions,
    n_units); what the units are called in `names` and, more coarsely, `kinds`; and the sentence: texts, and gaps
    {"region": r, "say": "names" | "kinds"}.

    `learned_path` names what was learned for the backbone whose file has the sha256 `backbone_sha256`.

    Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT, WRONG_SPACE (learned for another backbone).
    """

    def __init__(
        self,
        path: Path,
        units_path: Path,
        backbone: TokenRowSource,
        *,
        learned_path: Path | None = None,
        backbone_sha256: str = "",
        n_threads: int = 2,
    ) -> None:
        told = read(path, {"units", "names", "kinds", "sentence"})
        self._network, self._units = Network(units_path, n_threads=n_threads, also=told["units"]), told["units"]
        self.width, self.space = self._network.width, self._network.space
        self._spellings = {
            what: TokenMixture([f" {name}" for name in told[what]], backbone) for what in ("names", "kinds")
        }
        texts = [part for part in told["sentence"] if isinstance(part, str)]
        gaps = [(part["region"], part["say"]) for part in told["sentence"] if not isinstance(part, str)]
        self._learned = None
        if learned_path:
            wanted = {"n_texts": len(texts), "n_gaps": len(gaps), "n_embd": backbone.token_rows([]).shape[1]}
            self._learned = backbone_adapter.read(learned_path, backbone=backbone_sha256, space=self.space, **wanted)
        rows = self._learned.around if self._learned else [backbone.token_rows(backbone.tokenize(t)) for t in texts]
        around, gap = iter(rows), iter(enumerate(gaps))
        self._sentence = [next(around) if isinstance(part, str) else next(gap) for part in told["sentence"]]

    def apply(self, latents: Latents, beside: Latents | None = None) -> Float32Array:
        """Returns the rows; `beside` as `Network.run`. Raises ModelError(WRONG_SPACE)."""
        units = self._network.run(self._units, latents, beside)
        rows = [p if isinstance(p, np.ndarray) else self._soft(p[0], *p[1], units) for p in self._sentence]
        return frozen(np.concatenate(rows))

    def _soft(self, gap: int, region: int, say: str, units: Float32Array) -> Float32Array:
        if self._learned is None:
            return self._spellings[say].soft(units[region])
        return self._learned.corrected(self._spellings[say].soft(units[region] ** self._learned.sharpness[gap]))


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

"""Which tool, if any, a turn asks for: trained rows on the value vectors that the turn's words left in the KV cache.

Each tool has one row, a linear classifier, as an added token of the model service has (`glasses.backbone.deep_rows`).
Choosing decodes nothing and changes nothing in the cache, so what the backbone would say stays what it was.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasses.backbone.deep_rows import turn_values
from glasses.backbone.kv_values import last_values
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason
from glasses.tools import row_file, training
from glasses.tools.row_file import TrainedRows
from glasses.tools.tool import Tool
from glasses.types import Float32Array

CONFIRM, DECLINE = "confirm", "decline"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a turn asks for: the name of a tool, CONFIRM or DECLINE. `score` is above 0, and `margin` above the next
    best.
    """

    name: str
    score: float
    margin: float


class ToolChooser:
    """Chooses among the tools that have rows: those that came with the backbone's file, and those that were trained.

    `choose` and `train` belong to the backbone's thread, the other methods to any.
    """

    def __init__(self, backbone: LlamaBackbone, n_prefix: int, shipped: Path, kept: Path | None = None) -> None:
        """`shipped` has the rows of the built-in tools; those of others are kept in the file `kept`, or not at all.
        `n_prefix` is the number of rows of the system prompt.

        Raises ModelError: NOT_FOUND, CORRUPT, TOO_LARGE, WRONG_SPACE for the rows of another backbone.
        """
        self._backbone, self._n_prefix, self._shipped, self._kept = backbone, n_prefix, shipped, kept
        self._n_suffix = len(backbone.tokenize(backbone.prompt_format.suffix))
        self._lock = threading.Lock()
        self._base = row_file.read(shipped)
        if self._base.space != backbone.sha256[:16]:
            raise ModelError(
                Reason.WRONG_SPACE, f"{shipped}: rows for the backbone {self._base.space}, not {backbone.sha256[:16]}"
            )
        self._trained = training.read_trained(kept, self._base.space) if kept else {}
        self._partial: dict[str, list[Float32Array]] = {}

    def choose(self, n_user: int, names: Sequence[str], *, waiting: bool = False) -> Chosen | None:
        """The one of the tools `names` that the turn in the KV cache asks for: `n_user` rows of the user, and behind
        them the suffix of the prompt format. CONFIRM and DECLINE count only while something is `waiting` for them.

        Raises ModelError(UNSUPPORTED) for a backbone whose cache cannot be read.
        """
        cache = self._backbone.snapshot().kv
        n_turn = n_user + self._n_suffix
        values = turn_values(last_values(cache, self._backbone.n_past, n_turn)[:n_user])
        scores = self.scores(values)
        allowed = {*names, CONFIRM, DECLINE} if waiting else {*names} - {CONFIRM, DECLINE}
        ranked = sorted(((score, name) for name, score in scores.items() if name in allowed), reverse=True)
        if not ranked or ranked[0][0] <= 0:
            return None
        (best, name), second = ranked[0], max(0.0, ranked[1][0] if len(ranked) > 1 else 0.0)
        return Chosen(name, best, best - second)

    def scores(self, values: Float32Array) -> dict[str, float]:
        """The score of every tool that has a row, for the values of a turn; above 0 it would be called."""
        with self._lock:
            trained = dict(self._trained)
        found = dict(zip(self._base.names, self._base.scores(values).tolist(), strict=True))
        return found | {name: float(one.row @ values + one.bias) for name, one in trained.items()}

    def untrained(self, tools: Sequence[Tool]) -> list[Tool]:
        """Those of `tools` that have no row, or one that was trained from other wordings."""
        with self._lock:
            return [
                tool
                for tool in tools
                if tool.name not in self._base.names
                and (tool.name not in self._trained or self._trained[tool.name].digest != training.digest(tool))
            ]

    def train(self, tool: Tool) -> None:
        """Trains the row of a tool from its description and examples, in some seconds, and keeps it.

        The KV cache is then as it was. Raises ModelError(ABORTED) after `backbone.abort()`; what was done by then is
        kept for the next call.
        """
        wordings = training.wordings(tool)
        done = self._partial.setdefault(f"{tool.name} {training.digest(tool)}", [])
        saved = self._backbone.snapshot()
        try:
            for words in wordings[len(done) :]:
                done.append(self._values_of(words))
        finally:
            self._backbone.restore(saved)
        row, bias = training.fit_row(self._base, row_file.read_bank(self._shipped), np.stack(done))
        with self._lock:
            self._trained[tool.name] = training.TrainedRow(training.digest(tool), row, bias)
            kept = dict(self._trained)
        self._partial.clear()
        if self._kept:
            training.write_trained(self._kept, self._base.space, kept)

    def remove(self, name: str) -> None:
        """Forgets the row of a tool that is gone for good. Rows that were shipped stay."""
        with self._lock:
            if self._trained.pop(name, None) is None:
                return
            kept = dict(self._trained)
        if self._kept:
            training.write_trained(self._kept, self._base.space, kept)

    def _values_of(self, words: str) -> Float32Array:
        ids = self._backbone.tokenize(words, special=False)
        self._backbone.rollback(min(self._n_prefix, self._backbone.n_past))
        self._backbone.feed([ids])
        return turn_values(last_values(self._backbone.snapshot().kv, self._backbone.n_past, len(ids)))


__all__ = ["CONFIRM", "DECLINE", "Chosen", "ToolChooser", "TrainedRows"]

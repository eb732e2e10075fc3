"""Which tool, if any, a turn asks for.

A small network makes values of the turn's rows (`word_net`), and each tool has a row of its own over them, a linear
classifier. Choosing decodes nothing and does not touch the KV cache, so what the backbone would say stays what it was.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason
from glasses.tools import row_file, training
from glasses.tools.tool import Tool
from glasses.tools.training import TrainedRow
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

    Any thread may call any method.
    """

    def __init__(self, backbone: LlamaBackbone, shipped: Path, kept: Path | None = None) -> None:
        """`shipped` has the rows of the built-in tools; those of others are kept in the file `kept`, or not at all.

        Raises ModelError: NOT_FOUND, CORRUPT, TOO_LARGE, WRONG_SPACE for the rows of another backbone.
        """
        self._backbone, self._shipped, self._kept = backbone, shipped, kept
        self._lock = threading.Lock()
        self._base, self._net = row_file.read(shipped), row_file.read_net(shipped)
        if self._base.space != backbone.sha256[:16]:
            raise ModelError(
                Reason.WRONG_SPACE, f"{shipped}: rows for the backbone {self._base.space}, not {backbone.sha256[:16]}"
            )
        if self._base.rows.shape[1] != self._net.width or len(self._net.project) != backbone.n_embd:
            raise row_file.corrupt(shipped, "the rows do not fit the network, or it does not fit the backbone")
        self._trained = training.read_trained(kept, self._base.space, self._net.width) if kept else {}

    def choose(self, rows: Float32Array, names: Sequence[str], *, waiting: bool = False) -> Chosen | None:
        """The one of the tools `names` that a turn asks for, of which the user's rows float32 (n, n_embd) are given.
        CONFIRM and DECLINE count only while something is `waiting` for them.
        """
        if not len(rows):
            return None
        allowed = {*names, CONFIRM, DECLINE} if waiting else {*names} - {CONFIRM, DECLINE}
        scores = self.scores(rows)
        ranked = sorted(((score, name) for name, score in scores.items() if name in allowed), reverse=True)
        if not ranked or ranked[0][0] <= 0:
            return None
        (best, name), second = ranked[0], max(0.0, ranked[1][0] if len(ranked) > 1 else 0.0)
        return Chosen(name, best, best - second)

    def scores(self, rows: Float32Array) -> dict[str, float]:
        """The score of every tool that has a row, for the rows of a turn; above 0 it would be called."""
        values = self._net.values(rows)
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
        """Trains the row of a tool from its description and examples, in about a second, and keeps it.

        Raises OSError where the file cannot be written; the row counts until the process ends then.
        """
        ids = [self._backbone.tokenize(words, special=False) for words in training.wordings(tool)]
        values = np.stack([self._net.values(self._backbone.token_rows(one)) for one in ids if one])
        row, bias = training.fit_row(self._base, row_file.read_bank(self._shipped), values)
        with self._lock:
            self._trained[tool.name] = TrainedRow(training.digest(tool), row, bias)
            self._keep()

    def remove(self, name: str) -> None:
        """Forgets the row of a tool that is gone for good. Rows that were shipped stay. Raises OSError as `train`."""
        with self._lock:
            if self._trained.pop(name, None) is not None:
                self._keep()

    def _keep(self) -> None:
        if self._kept:
            training.write_trained(self._kept, self._base.space, self._trained)

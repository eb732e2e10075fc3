"""An answer being made, and how much of one is the same as before or was heard. Knows no thread and no model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from glasses.devices.speaker import Clause
from glasses.events import Draft, Ended
from glasses.types import Float32Array, Piece

SAME_ROW = 0.15  # two rows this close, relative to their length, are one: the encoder's second thoughts about a word


@dataclass(frozen=True, slots=True)
class Work:
    """One stage of one turn on this host's clock; `draft` counts the drafts of the turn, from 1."""

    turn_id: int
    draft: int
    stage: str
    began_ns: int
    ended_ns: int


@dataclass(slots=True)
class Reply:
    """An answer being made. Times are this host's, None until they came."""

    draft: Draft
    number: int
    ended: Ended | None = None
    reused: int = 0  # rows that the draft before had fed already
    pieces: list[Piece] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    first_piece_ns: int | None = None
    audible_ns: int | None = None
    outcome: str = ""  # said, interrupted, merged, expired, empty
    n_heard: int = 0  # of its pieces, where it was interrupted
    instead: str = ""  # the whole text, where the backbone was not asked
    work: list[Work] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(piece.text for piece in self.pieces).strip()


def same_rows(fed: Float32Array, wanted: Float32Array) -> int:
    """How many rows at the start of (n, n_embd) `fed` and `wanted` are as good as equal."""
    n = min(len(fed), len(wanted))
    distance = np.linalg.norm(fed[:n] - wanted[:n], axis=1)
    differ = np.flatnonzero(distance > SAME_ROW * np.linalg.norm(wanted[:n], axis=1))
    return int(differ[0]) if len(differ) else n


def pieces_heard(texts: list[str], heard: list[Clause]) -> int:
    """How many pieces the wearer heard: whole words, of the last clause as many as its share of sound tells."""
    words = sum(round(len(clause.text.split()) * clause.handed / max(clause.total, 1)) for clause in heard)
    text = ""
    for i, piece in enumerate(texts):
        if len((text + piece).split()) > words:
            return i
        text += piece
    return len(texts)

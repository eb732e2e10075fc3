"""Turns that are over, as rows, and how older ones become few rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from glasses.types import Float32Array

N_WHOLE = 2


@dataclass(frozen=True, slots=True)
class PastTurn:
    """The user's rows and those of the reply that was heard, each float32 (n, n_embd), as they were fed."""

    user: Float32Array
    reply: Float32Array

    @property
    def n_rows(self) -> int:
        """Rows of both, without those of the chat format around them."""
        return len(self.user) + len(self.reply)


def pooled(turn: PastTurn, every: int) -> PastTurn:
    """The turn with the mean of each `every` rows for these."""
    return PastTurn(_pooled(turn.user, every), _pooled(turn.reply, every))


def asked_only(turn: PastTurn) -> PastTurn:
    """The turn without its reply."""
    return replace(turn, reply=turn.reply[:0])


def shrunk(turns: Sequence[PastTurn]) -> tuple[PastTurn, ...]:
    """The turns as they are kept where all would be too many: the last N_WHOLE whole, of older ones what the user said.

    Of the ways that `glasses bench conversation` compares, the one after which most facts are known.
    """
    return (*(asked_only(turn) for turn in turns[:-N_WHOLE]), *turns[-N_WHOLE:])


def last_within(turns: Sequence[PastTurn], n_turns: int, n_rows: int) -> tuple[PastTurn, ...]:
    """The newest of `turns`: at most so many, with at most so many rows together, but the last one in any case."""
    kept: list[PastTurn] = []
    for turn in reversed(turns[-n_turns:] if n_turns else ()):
        if kept and sum(one.n_rows for one in kept) + turn.n_rows > n_rows:
            break
        kept.insert(0, turn)
    return tuple(kept)


def _pooled(rows: Float32Array, every: int) -> Float32Array:
    means = [rows[i : i + every].mean(axis=0, dtype=np.float32) for i in range(0, len(rows), every)]
    return np.stack(means) if means else rows

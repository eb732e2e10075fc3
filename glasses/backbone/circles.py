"""Ends an answer that goes round in circles, as small backbones do. Pure; knows tokens, no words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from glasses.types import Piece

LONGEST = 16  # tokens of what is said again
ENOUGH = 15  # tokens that only say it again ("1,000,000,000" has twelve), at least
TIMES = 3


def goes_round(tokens: Sequence[int]) -> bool:
    """Whether the end of `tokens` is one stretch of up to LONGEST tokens, TIMES or more on end."""
    for n in range(1, LONGEST + 1):
        times = max(TIMES, -(-ENOUGH // n))
        tail = tokens[-n * times :]
        if len(tail) == n * times and all(tail[i] == tail[i % n] for i in range(len(tail))):
            return True
    return False


def until_round(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, up to the one that closes the circle; that one is the last."""
    tokens: list[int] = []
    for piece in pieces:
        tokens.append(piece.token_id)
        if goes_round(tokens) and not piece.last:
            yield replace(piece, last=True)
            return
        yield piece

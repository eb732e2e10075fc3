"""Ends an answer that goes round in circles, as small backbones do. Pure; knows tokens, no words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from glasses.types import Token

LONGEST = 16  # tokens of what is said again
ENOUGH = 15  # tokens that only say it again ("1,000,000,000" has twelve), at least
TIMES = 3


def is_repeating(tokens: Sequence[int], *, longest: int = LONGEST, times: int = TIMES, enough: int = ENOUGH) -> bool:
    """Whether the end of `tokens` is one stretch of up to `longest` tokens, `times` or more on end, `enough` in all."""
    for n in range(1, longest + 1):
        length = n * max(times, -(-enough // n))
        tail = tokens[-length:]
        if len(tail) == length and all(tail[i] == tail[i % n] for i in range(len(tail))):
            return True
    return False


def stop_on_repetition(pieces: Iterator[Token]) -> Iterator[Token]:
    """The pieces, up to the one that closes the circle; that one is the last."""
    tokens: list[int] = []
    for piece in pieces:
        tokens.append(piece.token_id)
        if is_repeating(tokens) and not piece.last:
            yield replace(piece, last=True)
            return
        yield piece

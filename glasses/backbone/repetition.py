"""Stops an answer that repeats itself without end, as small backbones do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from glasses.types import Token

LONGEST = 16  # tokens of the repeated stretch, at most
ENOUGH = 15  # tokens of all repetitions together, at least ("1,000,000,000" has twelve)
TIMES = 3  # repetitions, at least


def is_repeating(tokens: Sequence[int], *, longest: int = LONGEST, times: int = TIMES, enough: int = ENOUGH) -> bool:
    """Whether `tokens` ends in a stretch of up to `longest` tokens, `times` times in a row and `enough` tokens in
    all.
    """
    for n in range(1, longest + 1):
        length = n * max(times, -(-enough // n))
        tail = tokens[-length:]
        if len(tail) == length and all(tail[i] == tail[i % n] for i in range(len(tail))):
            return True
    return False


def stop_on_repetition(tokens: Iterator[Token]) -> Iterator[Token]:
    """The tokens, up to the first at which they are repeating; that one is marked as the last."""
    ids: list[int] = []
    for token in tokens:
        ids.append(token.token_id)
        if is_repeating(ids) and not token.last:
            yield replace(token, last=True)
            return
        yield token

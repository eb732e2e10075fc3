"""Cuts an answer at stop strings as its tokens come, and keeps calls of functions apart from its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from glasses.types import Token


class Piece(NamedTuple):
    """Text that is certain to belong to the answer, and the tokens that are complete with it."""

    text: str
    tokens: tuple[Token, ...]


@dataclass(slots=True)
class Cutter:
    """`add` takes tokens in order and gives what is certain: what could begin a stop string waits.

    After `mark` nothing more is given: `rest` holds it, mark included, for who reads calls. `stopped` is true once a
    stop string came.
    """

    stops: Sequence[str] = ()
    mark: str = ""
    stopped: bool = False
    rest: str = ""
    _text: str = ""  # that waits
    _tokens: list[tuple[Token, int]] = field(default_factory=list)  # that wait, with the length of their text

    def add(self, token: Token) -> Piece:
        """What `token` makes certain; all that waits, if it is the last."""
        if self.rest:
            self.rest += token.text
            return Piece("", ())
        self._text += token.text
        self._tokens.append((token, len(token.text)))
        found = min(((at, one) for one in (*self.stops, self.mark) if one and (at := self._text.find(one)) >= 0),
                    default=None, key=lambda pair: pair[0])  # fmt: skip
        if found is None:
            return self._release(len(self._text) - (0 if token.last else self._held()))
        at, which = found
        if which == self.mark:
            self.rest = self._text[at:]
        else:
            self.stopped = True
        return self._release(at)

    def _held(self) -> int:
        """How many characters at the end could begin a stop string or the mark."""
        longest = max((len(one) for one in (*self.stops, self.mark)), default=0)
        for n in range(min(longest - 1, len(self._text)), 0, -1):
            tail = self._text[-n:]
            if any(one.startswith(tail) for one in (*self.stops, self.mark)):
                return n
        return 0

    def _release(self, n: int) -> Piece:
        text, self._text = self._text[:n], self._text[n:]
        done = []
        while self._tokens and self._tokens[0][1] <= n:
            token, length = self._tokens.pop(0)
            n -= length
            done.append(token)
        if self._tokens:
            self._tokens[0] = (self._tokens[0][0], self._tokens[0][1] - n)
        return Piece(text, tuple(done))

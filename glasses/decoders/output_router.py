"""Sorts the tokens of an answer: text, a function call, or the payload of a begin/end pair for its decoder.

Between a begin token and its end token latents go to the decoder registered for the pair; everything else is text. A
token without an end is a call by itself. A pair that is still open when the answer ends is closed as not complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from glasses.types import Token


@dataclass(frozen=True, slots=True)
class Route:
    """The meaning of a begin token, or of a function token (`end` None); `end` is the token id that closes it."""

    name: str
    decoder: str
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A token of text."""

    token: Token


@dataclass(frozen=True, slots=True)
class Called:
    """A function token: `name` is the token's."""

    turn_id: int
    name: str
    decoder: str


@dataclass(frozen=True, slots=True)
class Payload:
    """The tokens between begin and end, with their latents; `complete` is False where no end token came."""

    turn_id: int
    name: str
    decoder: str
    tokens: tuple[Token, ...]
    complete: bool


Routed = Spoken | Called | Payload


def route(tokens: Iterable[Token], routes: Mapping[int, Route]) -> Iterator[Routed]:
    """Sorts tokens as they come; `routes` maps token ids. A begin token within a pair is payload like any other."""
    opened: Route | None = None
    within: list[Token] = []
    for token in tokens:
        found = routes.get(token.token_id)
        if opened is not None:
            ends = token.token_id == opened.end
            if not ends and not token.last:
                within.append(token)
                continue
            yield Payload(token.turn_id, opened.name, opened.decoder, tuple(within), ends)
            opened, within = None, []
        elif found is None:
            yield Spoken(token)
        elif found.end is None:
            yield Called(token.turn_id, found.name, found.decoder)
        elif token.last:
            yield Payload(token.turn_id, found.name, found.decoder, (), False)
        else:
            opened = found
    if opened is not None:  # the stream broke off
        yield Payload(within[-1].turn_id if within else 0, opened.name, opened.decoder, tuple(within), False)

"""Who gets which piece of an answer: text, a function, or the decoder of a begin/end pair. Pure; does no I/O.

Between a begin token and its end token latents go to the decoder registered for the pair; everything else is text. A
token without an end is a call by itself. A pair that the answer ends within is closed as not complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from glasses.types import Token


@dataclass(frozen=True, slots=True)
class Route:
    """What one begin token, or one function token (`end` None), is for; `end` is the token id that closes it."""

    name: str
    decoder: str
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of text."""

    piece: Token


@dataclass(frozen=True, slots=True)
class Called:
    """A function token: `name` is the token's."""

    turn_id: int
    name: str
    decoder: str


@dataclass(frozen=True, slots=True)
class Payload:
    """Pieces between begin and end, latents and all; `complete` is False where no end token came."""

    turn_id: int
    name: str
    decoder: str
    pieces: tuple[Token, ...]
    complete: bool


Routed = Spoken | Called | Payload


def route(pieces: Iterable[Token], routes: Mapping[int, Route]) -> Iterator[Routed]:
    """Sorts pieces as they come; `routes` maps token ids. A begin token within a pair is payload like any other."""
    opened: Route | None = None
    within: list[Token] = []
    for piece in pieces:
        found = routes.get(piece.token_id)
        if opened is not None:
            ends = piece.token_id == opened.end
            if not ends and not piece.last:
                within.append(piece)
                continue
            yield Payload(piece.turn_id, opened.name, opened.decoder, tuple(within), ends)
            opened, within = None, []
        elif found is None:
            yield Spoken(piece)
        elif found.end is None:
            yield Called(piece.turn_id, found.name, found.decoder)
        elif piece.last:
            yield Payload(piece.turn_id, found.name, found.decoder, (), False)
        else:
            opened = found
    if opened is not None:  # the stream broke off
        yield Payload(within[-1].turn_id if within else 0, opened.name, opened.decoder, tuple(within), False)

"""The output router: text, functions and what lies between a pair go to their decoders."""

from __future__ import annotations

import numpy as np

from glasses.decoders.output_router import Called, Payload, Route, Spoken, route
from glasses.types import Token

ROUTES = {100: Route("<buzz>", "haptic", end=101), 102: Route("<meow>", "sound")}


def tokens(*ids: int) -> list[Token]:
    latent = np.ones(4, np.float32)
    return [Token(7, id, f"t{id}", 0.0, latent, i == len(ids) - 1) for i, id in enumerate(ids)]


def test_route_text_passes_as_it_comes() -> None:
    assert [type(r) for r in route(tokens(1, 2, 3), ROUTES)] == [Spoken] * 3


def test_route_pair_goes_to_its_decoder_whole() -> None:
    first, payload, after = route(tokens(1, 100, 5, 6, 101, 2), ROUTES)
    assert isinstance(first, Spoken)
    assert isinstance(payload, Payload)
    assert isinstance(after, Spoken)
    assert (payload.decoder, [p.token_id for p in payload.tokens], payload.complete) == ("haptic", [5, 6], True)


def test_route_function_token_is_a_call() -> None:
    (called,) = route(tokens(102), ROUTES)
    assert called == Called(7, "<meow>", "sound")


def test_route_pair_that_never_ends_is_not_complete() -> None:
    for ids in ((100, 5, 6), (100,)):
        (payload,) = route(tokens(*ids), ROUTES)
        assert isinstance(payload, Payload)
        assert not payload.complete
    broken_off = tokens(100, 5, 6, 7)[:3]
    (payload,) = route(broken_off, ROUTES)
    assert isinstance(payload, Payload)
    assert len(payload.tokens) == 2
    assert not payload.complete


def test_route_end_token_alone_is_text() -> None:
    assert [type(r) for r in route(tokens(101, 1), ROUTES)] == [Spoken, Spoken]

"""When an answer repeats itself, and that it ends there."""

from __future__ import annotations

import pytest

from glasses.backbone.repetition import ENOUGH, TIMES, is_repeating, stop_on_repetition
from glasses.types import Token


def piece(token: int, *, last: bool = False) -> Token:
    return Token(1, token, str(token), 0.0, None, last)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 16])
def test_is_repeating_of_a_repeated_stretch_is_true(n: int) -> None:
    once = list(range(n))
    times = max(TIMES, -(-ENOUGH // n))
    assert is_repeating([99, 98, *once * times])
    assert not is_repeating([99, 98, *once * (times - 1)])
    assert not is_repeating([*once * times, 97])


def test_is_repeating_of_a_large_number_is_false() -> None:
    comma, nought = 28, 32
    assert not is_repeating([33, *[comma, nought, nought, nought] * 3])


def test_stop_on_repetition_ends_at_the_first_repetition() -> None:
    said = list(stop_on_repetition(piece(token) for token in [5, 6, *[1, 2, 3, 4, 5] * 20]))
    assert [one.token_id for one in said] == [5, 6, *[1, 2, 3, 4, 5] * 3][: len(said)]
    assert len(said) <= 2 + 15
    assert [one.last for one in said] == [False] * (len(said) - 1) + [True]


def test_stop_on_repetition_passes_other_streams() -> None:
    given = [piece(token, last=token == 59) for token in range(60)]
    assert list(stop_on_repetition(iter(given))) == given

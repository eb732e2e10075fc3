"""The views with text are what their truth says, and what counts as an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.errors import InputError
from glasses.evaluation import text
from glasses.evaluation.text_views import HOW, SignQuestion, line_views, sign_questions, sign_view

QUESTION = SignQuestion(0, "price", "How much is the cod?", ("12.00", "12"), ("18.50", "9.80"))


def test_line_views_are_the_same_each_time() -> None:
    once, again = (list(line_views(limit=3)) for _ in range(2))
    assert [view.text for view in once] == [view.text for view in again]
    assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(once, again, strict=True))
    assert all(view.rgb.shape == (720, 1280, 3) and view.how in HOW for view in once)


def test_line_views_outside_a_checkout_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="full checkout"):
        next(line_views(folder=tmp_path))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The cod is 12.00.", True),
        ("It costs 12,00 euros", True),
        ("Cod 12", True),
        ("It is 18.50.", False),
        ("Salmon 18.50, cod 12.00", False),
        ("112.00", False),
        ("At 12:00", False),
        ("I do not know.", False),
    ],
)
def test_is_right_needs_the_one_that_is_asked_for(answer: str, right: bool) -> None:
    assert text.is_right(QUESTION, answer) is right


def test_sign_questions_accept_what_stands_on_the_sign_only() -> None:
    asked = sign_questions()
    assert len(asked) == 60
    assert {one.sign for one in asked} == set(range(20))
    assert sign_view(3).shape == (720, 1280, 3)
    assert all(text.is_right(one, f"It is {one.accept[0]}.") for one in asked)

"""Composed views, and what answers about them count as."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from glasses.evaluation import scenes
from glasses.evaluation.scenes import CHANCE, KINDS, Question, questions
from glasses.types import Latents


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    return questions(limit=12)


def test_questions_are_the_same_each_time_and_of_every_kind(asked: list[Question]) -> None:
    assert len(questions()) == 300
    again = questions(limit=12)
    assert [(one.asked, one.right) for one in again] == [(one.asked, one.right) for one in asked]
    assert all(np.array_equal(one.view, other.view) for one, other in zip(asked, again, strict=True))
    assert [one.kind for one in asked] == list(KINDS) * 12


def test_answer_that_repeats_the_choices_is_wrong(asked: list[Question]) -> None:
    for one in (one for one in asked if one.kind == "which side"):
        assert not re.search(one.right, "on the left, in the middle or on the right.")
        sides = [side for side in ("left", "middle", "right") if re.search(one.right, f"it is {side}.")]
        assert len(sides) == 1


def test_answer_of_the_wrong_number_is_wrong(asked: list[Question]) -> None:
    for one in (one for one in asked if one.kind == "how many"):
        numbers = ("one", "two", "three", "four", "five")
        assert sum(re.search(one.right, f"there are {number} of them.") is not None for number in numbers) == 1


def test_run_counts_each_kind_and_guessing(asked: list[Question]) -> None:
    def answer(given: list[str | Latents]) -> str:
        return "Yes." if str(given[-1]).startswith("Is there") else "I do not know."

    figures: dict[str, Any] = scenes.run(lambda rgb: (), answer, limit=12)
    assert figures["right"] == dict.fromkeys(KINDS, 0.0) | {"is there": 1.0, "all": 1 / 5}
    assert figures["text_only"] == figures["right"]
    assert figures["chance"]["is there"] == CHANCE["is there"]

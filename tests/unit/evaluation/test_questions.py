from __future__ import annotations

from collections import Counter

import pytest

from glasses.evaluation import questions
from glasses.evaluation.questions import Question, is_right, read_questions


def test_questions_are_sixty_each_once_and_answered() -> None:
    asked = read_questions()
    assert len(asked) == len({one.text for one in asked}) == 60
    assert Counter(one.kind for one in asked) == {"fact": 20, "opposite": 8, "colour": 8, "number": 16, "sense": 8}
    assert all(one.accept for one in asked)
    assert all(is_right(one, f"It is {one.accept[0]}.") for one in asked)


@pytest.mark.parametrize(
    ("accept", "answer", "right"),
    [
        ("Rome", "The capital of Italy is Rome.", True),
        ("Rome", "rome", True),
        ("Rome", "It is Romeo.", False),  # whole words
        ("Rome", "It is Milan. Some say Rome.", False),  # the first sentence
        ("Rome", "", False),
        ("8", "A spider has 8 legs.", True),
        ("8", "A spider has eight legs, not 6.", True),
        ("8", "A spider has 1,000,000 legs, or 8.", False),  # the first number
        ("8", "Spiders have many legs.", False),
        ("100", "There are 100 centimeters in a meter.", True),
        ("1000", "There are 1,000.", True),
        ("42", "It is forty-two.", True),
        ("20", "Twenty.", True),
    ],
)
def test_is_right_reads_the_first_sentence(accept: str, answer: str, right: bool) -> None:
    assert is_right(Question("any", "Well?", (accept,)), answer) is right


def test_is_right_does_not_count_numbers_of_the_question() -> None:
    asked = Question("number", "What is two plus three?", ("5",))
    assert is_right(asked, "Two plus three is five.")
    assert not is_right(asked, "Two plus three is six.")


@pytest.mark.models
def test_bench_questions_reports_shares_and_what_was_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        Question("fact", "What is the capital of Germany?", ("Berlin",)),
        Question("never", "Say hello.", ("xyzzy",)),
    ]
    monkeypatch.setattr(questions, "read_questions", lambda: asked)
    figures = questions.bench(["pocket"])
    assert figures["pocket"]["kinds"] == {"fact": 1.0, "never": 0.0}
    assert figures["pocket"]["right"] == 0.5
    assert list(figures["pocket"]["wrong"]) == ["Say hello."]
    table = questions.report(figures)
    assert "50%" in table
    assert "pocket: Say hello." in table

"""Clauses come early, lose nothing, and do not depend on how the text was cut into parts."""

from __future__ import annotations

import random

import pytest

from glasses.decoders.clauses import FIRST_WORDS, MOST_WORDS, ClauseSplitter, clauses

TEXTS = [
    "Yes. Dr. Smith paid $1,000.50 for 3.5 kg of tea (e.g. Assam), at 10:30 a.m. in Washington, D.C. Say “No!” now",
    "Here are three tips:\n1. Be kind.\n2. Be clear, always.\n\n- three",
    "It was him \u2013 really \u2014 you know... Wait? See https://a.example/x,y?z=1.5: it has  spaces\tand\r\nlines",
    "no mark at all in this long run of plain words that just goes on and on and on without ever taking a breath",
    "",
    " \n ",
]


def parts_of(text: str, seed: int) -> list[str]:
    chooser, parts = random.Random(seed), []
    while text:
        size = chooser.randint(1, 7)
        parts.append(text[:size])
        text = text[size:]
    return parts


@pytest.mark.parametrize("text", TEXTS)
def test_clauses_any_parts_give_the_same_and_lose_nothing(text: str) -> None:
    whole = list(clauses([text]))
    assert " ".join(whole) == " ".join(text.split())
    for seed in range(20):
        assert list(clauses(parts_of(text, seed))) == whole


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The capital of France is Paris.", ["The capital of France", "is Paris."]),
        ("Well, it is a kettle.", ["Well,", "it is a kettle."]),
        ("It costs 3.5 or 1,000.25 euros. Really!", ["It costs 3.5", "or 1,000.25 euros.", "Really!"]),
        ("Ask Dr. Smith. Or Mr. J. Jones.", ["Ask Dr. Smith.", "Or Mr. J. Jones."]),
        ("At 10:30 a.m. go. See a.example/b,c now.", ["At 10:30 a.m. go.", "See a.example/b,c now."]),
        ("Tips:\n1. Be kind.\n2. Rest.", ["Tips:", "1. Be kind.", "2. Rest."]),
        ('He said "Stop!" Then he left.', ['He said "Stop!"', "Then he left."]),
        ("Stop. Red, green, or blue is fine.", ["Stop.", "Red, green, or blue is fine."]),
        ("The kettle on your left is whistling.", ["The kettle", "on your left is whistling."]),
    ],
)
def test_clauses_text_is_cut_where_expected(text: str, wanted: list[str]) -> None:
    assert list(clauses([text])) == wanted


def test_clauses_first_comes_with_the_white_space_after_its_mark() -> None:
    splitter = ClauseSplitter()
    assert splitter.feed("Yes, it") == ["Yes,"]
    assert splitter.feed(" is.") == []
    assert splitter.feed(" ") == ["it is."]
    assert splitter.flush() == []


def test_clauses_without_marks_are_bounded() -> None:
    found = list(clauses(["word " * 100]))
    assert len(found[0].split()) == FIRST_WORDS
    assert max(len(clause.split()) for clause in found) == MOST_WORDS
    assert max(len(clause) for clause in clauses(["x" * 5000])) == 400


def test_clause_splitter_flush_makes_it_as_new() -> None:
    splitter = ClauseSplitter()
    text = "The kettle on your left is whistling"
    first = splitter.feed(text) + splitter.flush()
    assert splitter.feed(text) + splitter.flush() == first == ["The kettle", "on your left is whistling"]

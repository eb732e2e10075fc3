"""Answers that claim an act are replaced before a word of the claim is given on; all others pass unchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from glasses.assistant.claims import NOTHING_DONE, without_claims
from glasses.tools.builtin.about import UNABLE
from glasses.types import Token

CLAIMS = """\
I've called your mother.
Sure! I'll call her right away.
Okay, calling your mother.
The lights in the kitchen are now on.
I just turned off the lamp.
I'm ordering a pizza now.
I can book you a table at eight.
Yes, the oven is off.
Of course! The message has been sent.
Sure, I can. I sent the message.
Playing some jazz.
Done."""
CLAIMS_OF_TOOLS = """\
I have set a timer for ten minutes.
Ten minutes, eggs, starting now.
I will remind you at six.
I took a picture.
Your alarm is set for seven.
Noted: my bike is there."""
TRUE = """\
The capital of France is Paris.
I am called Max.
I'm sorry, I cannot do that.
The light bulb was invented by Edison.
I will tell you a story. Once upon a time there was a king.
Ten minutes have 600 seconds.
I can't call anybody.
I can tell you a story about a king.
Rome is called the eternal city.
The opposite of on is off.
I would call it a tragedy.
The message was sent by Paul Revere.
Nothing: I have no idea."""


def tokens(text: str) -> Iterator[Token]:
    words = re.findall(r"\s*\S+", text)
    return (Token(7, i, word, 0.0, None, i == len(words) - 1) for i, word in enumerate(words))


def said(text: str) -> str:
    return "".join(token.text for token in without_claims(tokens(text))).strip()


@pytest.mark.parametrize("claim", CLAIMS.splitlines())
def test_without_claims_claimed_act_is_replaced(claim: str) -> None:
    assert said(claim).endswith(UNABLE)
    assert len(said(claim)) <= len("Sure, I can. ") + len(UNABLE)


@pytest.mark.parametrize("claim", CLAIMS_OF_TOOLS.splitlines())
def test_without_claims_claimed_act_of_a_tool_is_told_as_not_understood(claim: str) -> None:
    assert said(claim) == NOTHING_DONE


@pytest.mark.parametrize("answer", TRUE.splitlines())
def test_without_claims_ordinary_answer_is_the_same_tokens(answer: str) -> None:
    assert list(without_claims(tokens(answer))) == list(tokens(answer))


def test_without_claims_ordinary_answer_is_held_for_its_first_clause_at_most() -> None:
    taken = list[str]()

    def counted() -> Iterator[Token]:
        for token in tokens("The capital of France is Paris."):
            taken.append(token.text)
            yield token

    next(without_claims(counted()))
    assert len(taken) <= 5


def test_without_claims_later_sentence_is_looked_at_too_and_replaced_words_have_no_id() -> None:
    found = list(without_claims(tokens("Paris is nice. I have booked a flight.")))
    assert "".join(token.text for token in found) == f"Paris is nice. {UNABLE}"
    assert [token.token_id for token in found[:4]] == [0, 1, 2, -1]
    assert [token.last for token in found] == [False] * (len(found) - 1) + [True]

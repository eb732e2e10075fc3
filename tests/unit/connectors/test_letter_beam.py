from __future__ import annotations

import numpy as np

from glasses.connectors.letter_beam import spellings, words_of
from glasses.media.letters import N_CANDIDATES, SoftLine

BOX = np.zeros((4, 2), np.float32)


def line(*steps: dict[str, float]) -> SoftLine:
    """A line from the letters of each step with their probabilities; "" is none."""
    letters = np.zeros((len(steps), N_CANDIDATES), np.int32)
    probabilities = np.zeros((len(steps), N_CANDIDATES), np.float32)
    for i, step in enumerate(steps):
        for j, (letter, p) in enumerate(sorted(step.items(), key=lambda item: -item[1])):
            letters[i, j], probabilities[i, j] = ord(letter) if letter else 0, p
    return SoftLine(letters, probabilities, 0, BOX)


def sure(text: str) -> list[dict[str, float]]:
    return [{letter: 0.99} for letter in text]


def test_words_without_doubt_have_one_spelling() -> None:
    words = words_of(line(*sure("go on"), {"": 0.99}))
    assert [[one.text for one in word] for word in words] == [["go"], ["on"]]


def test_words_in_doubt_have_the_spellings_that_their_letters_allow() -> None:
    (word,) = words_of(line(*sure("c"), {"o": 0.6, "a": 0.4}, *sure("t")))
    assert [one.text for one in word][:2] == ["cot", "cat"]
    assert word[0].probability > word[1].probability > 0.3


def test_words_with_a_letter_that_may_be_none_keep_both() -> None:
    (word,) = words_of(line(*sure("t"), {"": 0.55, "h": 0.45}, *sure("e")))
    assert {"te", "the"} == {one.text for one in word[:2]}


def test_words_do_not_begin_or_end_with_an_unsure_space() -> None:
    words = words_of(line({" ": 0.6, "": 0.4}, *sure("pond"), {" ": 0.5, "": 0.5}))
    assert [word[0].text for word in words] == ["pond"]


def test_spellings_sum_over_all_ways_to_lay_their_letters() -> None:
    found = {one.text: one.probability for one in spellings([[(97, 0.6), (0, 0.4)], [(97, 0.6), (0, 0.4)]])}
    assert np.isclose(found["a"], 0.6 * 0.6 + 2 * 0.6 * 0.4)


def test_spellings_of_a_line_of_doubt_are_bounded() -> None:
    steps = [dict.fromkeys("abcde", 0.19) for _ in range(60)]
    (word,) = words_of(line(*steps))
    assert 0 < len(word) <= 12

from __future__ import annotations

import numpy as np
import pytest

from glasses.encoders.text_letters import Alphabet, is_odd
from glasses.types import Float32Array

LETTERS = ["", *"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *"αχσκενÓó", *"日本語"]
ALPHABET = Alphabet(LETTERS)


def steps(text: str, sure: float = 0.9) -> Float32Array:
    """Each letter followed by none, and so likely; all others share what is left."""
    out = np.full((2 * len(text), len(LETTERS)), (1 - sure) / (len(LETTERS) - 1), np.float32)
    for i, letter in enumerate(text):
        out[2 * i, LETTERS.index(letter)] = sure
        out[2 * i + 1, 0] = sure
    return out


def test_alphabet_reads_doubled_letters_where_none_is_between() -> None:
    read = ALPHABET.read(steps("coffee"))
    assert (read.text, read.script) == ("coffee", "latin")
    assert read.sureness == pytest.approx(0.9, abs=0.03)
    assert ALPHABET.read(np.repeat(steps("tea"), 3, axis=0)).text == "tea"


def test_alphabet_reads_latin_letters_of_a_greek_line_as_greek() -> None:
    read = ALPHABET.read(steps("σxoκó"))  # noqa: RUF001
    assert (read.text, read.script) == ("σχοκό", "greek")
    assert chr(ALPHABET.code_points("greek")[LETTERS.index("o")]) == "ο"  # noqa: RUF001
    assert chr(ALPHABET.code_points("latin")[LETTERS.index("o")]) == "o"


def test_alphabet_reads_a_chinese_letter_among_latin_ones_as_misread() -> None:
    letters = steps("exit日")
    letters[8, LETTERS.index("日")] = 0.6
    letters[8, LETTERS.index("B")] = 0.3
    read = ALPHABET.read(letters)
    assert (read.text, read.script) == ("exitB", "latin")
    assert ALPHABET.read(steps("日本語")).script == "chinese"


def test_alphabet_of_nothing_is_not_sure() -> None:
    assert ALPHABET.read(steps("")[:0].reshape(0, len(LETTERS))).sureness == 0.0


@pytest.mark.parametrize("text", ["BxOA BocnpeëH", "OTKpbITO C AeBATn", "ATeka pa6oTaeT"])
def test_is_odd_of_another_script_taken_for_latin(text: str) -> None:
    assert is_odd(text)


@pytest.mark.parametrize(
    "text", ["WiFi", "Free WiFi here", "iPhone 15", "Gate B17", "McDonald's", "PARKING", "guest2024", "3pm"]
)
def test_is_odd_not_of_names_and_numbers(text: str) -> None:
    assert not is_odd(text)

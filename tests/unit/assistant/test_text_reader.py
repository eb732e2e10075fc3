from __future__ import annotations

import numpy as np
import pytest

from glasses.assistant.text_reader import MORE, NO_TEXT, SOME_UNREAD, THE_END, UNKNOWN_SCRIPT, UNREADABLE, TextReader
from glasses.encoders.text import TextLine, TextView
from glasses.errors import InputError
from glasses.types import UInt8Array

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
LETTERS = np.zeros((1, 1), np.float32)


def line(text: str, row: int = 0) -> TextLine:
    return TextLine(text, np.zeros((4, 2), np.float32), 0.9, LETTERS, row)


class Reads:
    """An encoder that reads what it was given."""

    def __init__(self, *lines: TextLine, n_unread: int = 0, n_unknown: int = 0) -> None:
        self.shown = TextView(lines, n_unread, n_unknown)
        self.n_looks = 0

    def view(self, rgb: UInt8Array, /) -> TextView:
        self.n_looks += 1
        return self.shown


def reader(encoder: Reads, seconds: list[float] | None = None) -> TextReader:
    return TextReader(lambda: PICTURE, encoder, clock_s=lambda: seconds[0] if seconds else 0.0)


def test_text_reader_reads_rows_word_for_word() -> None:
    said = reader(Reads(line("Coffee"), line("2.80"), line("Tea  2.20", 1))).read("")
    assert said == "Coffee 2.80\nTea  2.20"


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (Reads(), NO_TEXT),
        (Reads(n_unread=2), UNREADABLE),
        (Reads(n_unread=2, n_unknown=1), UNKNOWN_SCRIPT),
    ],
)
def test_text_reader_without_text_says_why(encoder: Reads, said: str) -> None:
    with pytest.raises(InputError, match=said.partition(".")[0]):
        reader(encoder).read("")


def test_text_reader_says_that_it_could_not_read_all() -> None:
    assert reader(Reads(line("Exit"), n_unread=1)).read("") == f"Exit\n{SOME_UNREAD}"


def test_text_reader_turns_pages_of_one_look() -> None:
    encoder = Reads(*(line(f"Sentence number {i} " + "word " * 60, i) for i in range(4)))
    one = reader(encoder)
    first = one.read("")
    assert first.startswith("Sentence number 0")
    assert first.endswith(MORE)
    second = one.read("next")
    assert "Sentence number 0" not in second
    assert one.read("back") == first.replace(f"\n{MORE}", "") + f"\n{MORE}"
    last = one.read("last")
    assert "Sentence number 3" in last
    assert not last.endswith(MORE)
    assert one.read("next") == THE_END
    assert one.read("previous") != last
    assert encoder.n_looks == 1
    one.read("")
    assert encoder.n_looks == 2


def test_text_reader_that_is_wiped_while_it_reads_keeps_nothing() -> None:
    encoder = Reads(line("Exit"))

    def look() -> UInt8Array:
        one.forget()
        return PICTURE

    one = TextReader(look, encoder)
    assert one.read("") == "Exit"
    one.read("next")
    assert encoder.n_looks == 2


def test_text_reader_looks_again_where_nothing_was_read_before_or_long_ago() -> None:
    encoder, seconds = Reads(line("Exit")), [0.0]
    one = reader(encoder, seconds)
    assert one.read("next") == "Exit"
    seconds[0] = 700.0
    assert one.read("next") == "Exit"
    assert encoder.n_looks == 2
    one.forget()
    one.read("back")
    assert encoder.n_looks == 3

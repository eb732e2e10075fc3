"""What the mouth decides without a model: which rows are the same, and how much of a reply was heard."""

from __future__ import annotations

import numpy as np

from glasses.assistant.reply import SAME_ROW, same_rows, tokens_heard
from glasses.events import Clause

PIECES = ["The", " sky", " is", " bl", "ue", ",", " and", " clear", "."]


def clause(text: str, heard: float) -> Clause:
    return Clause(1, text, 1000, round(1000 * heard))


def test_only_whole_words_that_were_heard_count() -> None:
    assert tokens_heard(PIECES, [clause("The sky is blue,", 1.0), clause("and clear.", 1.0)]) == len(PIECES)
    assert tokens_heard(PIECES, [clause("The sky is blue,", 0.5), clause("and clear.", 0.0)]) == 2
    assert tokens_heard(PIECES, [clause("The sky is blue,", 1.0), clause("and clear.", 0.0)]) == 6
    assert tokens_heard(PIECES, [clause("The sky is blue,", 0.0)]) == 0
    assert tokens_heard(PIECES, []) == 0


def test_rows_are_the_same_up_to_the_first_that_differs() -> None:
    rows = np.random.default_rng(0).standard_normal((10, 64)).astype(np.float32)
    other = rows * np.float32(1 + SAME_ROW / 2)
    assert same_rows(rows, other) == 10
    other[6] += 2 * SAME_ROW * np.abs(other[6])
    assert same_rows(rows, other) == 6
    assert same_rows(rows[:4], other) == 4
    assert same_rows(rows[:0], other) == 0

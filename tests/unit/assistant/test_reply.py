"""What a reply is compared by: rows that count as equal, and tokens that were heard."""

from __future__ import annotations

import numpy as np

from glasses.assistant.reply import SAME_ROW, same_rows, tokens_heard
from glasses.events import Clause
from tests.unit.assistant.test_responder import TOKENS


def clause(text: str, heard: float) -> Clause:
    return Clause(1, text, 1000, round(1000 * heard))


def test_tokens_heard_counts_only_whole_words() -> None:
    assert tokens_heard(TOKENS, [clause("The sky is blue,", 1.0), clause("and clear.", 1.0)]) == len(TOKENS)
    assert tokens_heard(TOKENS, [clause("The sky is blue,", 0.5), clause("and clear.", 0.0)]) == 2
    assert tokens_heard(TOKENS, [clause("The sky is blue,", 1.0), clause("and clear.", 0.0)]) == 6
    assert tokens_heard(TOKENS, [clause("The sky is blue,", 0.0)]) == 0
    assert tokens_heard(TOKENS, []) == 0


def test_same_rows_ends_at_the_first_that_differs() -> None:
    rows = np.random.default_rng(0).standard_normal((10, 64)).astype(np.float32)
    other = rows * np.float32(1 + SAME_ROW / 2)
    assert same_rows(rows, other) == 10
    other[6] += 2 * SAME_ROW * np.abs(other[6])
    assert same_rows(rows, other) == 6
    assert same_rows(rows[:4], other) == 4
    assert same_rows(rows[:0], other) == 0

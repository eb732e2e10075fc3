"""The measures of `glasses evaluate`, on examples counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.evaluation.degrade import telephone, with_noise
from glasses.evaluation.speech import overlap_f1, word_errors
from glasses.types import SAMPLE_RATE_HZ


@pytest.mark.parametrize(
    ("said", "heard", "edits"),
    [
        ("The cat sat.", "the cat sat", 0),
        ("the cat sat", "the dog sat", 1),
        ("the cat sat", "cat sat down now", 3),
        ("the cat sat", "", 3),
    ],
)
def test_word_errors_of_known_texts_are_as_counted(said: str, heard: str, edits: int) -> None:
    assert word_errors(said, heard) == (edits, 3)


def test_overlap_f1_is_one_for_the_same_words_and_zero_for_none() -> None:
    assert overlap_f1("A week has 7 days.", "a week has 7 days") == 1
    assert overlap_f1("yes", "no") == 0
    assert overlap_f1("", "") == 0
    assert overlap_f1("a week has seven days", "a week is seven") == pytest.approx(6 / 9)


def test_with_noise_is_10_db_below_the_clip() -> None:
    tone = np.sin(2 * np.pi * 300 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ).astype(np.float32)
    added = with_noise(tone) - tone
    assert 10 * np.log10((tone**2).mean() / (added**2).mean()) == pytest.approx(10, abs=0.01)


def test_telephone_keeps_only_its_band() -> None:
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    kept, dropped = (0.5 * np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (1000, 6000))
    assert np.abs(telephone(kept) - kept).max() < 0.05
    assert np.abs(telephone(dropped)).max() < 0.01

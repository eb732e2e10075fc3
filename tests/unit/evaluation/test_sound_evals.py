"""The scoring rule of the sound evaluation, and its probes."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.evaluation.probes import by_fold, chance, words
from glasses.evaluation.sounds import ridge_probe, said_class

NAMES = {"dog": ("dog", "barking"), "train": ("train",), "rain": ("rain", "raining"), "glass": ("glass",)}


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("A dog barking.", "dog"),
        ("The sound of dogs. It is not a train.", "dog"),
        ("A train, not a dog.", "train"),
        ("It is raining.", "rain"),
        ("You are training hard.", None),
        ("A classic piece of music.", None),
        ("I cannot tell.\nA dog", None),
        ("Glasses clinking.", "glass"),
        ("", None),
    ],
)
def test_said_class_first_name_in_the_first_sentence_decides(answer: str, label: str | None) -> None:
    assert said_class(answer, NAMES) == label


def test_ridge_probe_finds_what_is_linear_and_nothing_in_noise() -> None:
    rng = np.random.default_rng(0)
    y = [("a", "b", "c")[i % 3] for i in range(90)]
    noise = rng.standard_normal((90, 200))
    signal = noise + np.array([[ord(label) - 97 == j % 3 for j in range(200)] for label in y])
    assert ridge_probe(signal[:60], y[:60], signal[60:]) == y[60:]
    folds = [str(i // 30) for i in range(90)]
    assert by_fold(signal, y, folds) == 1
    assert by_fold(noise, y, folds) < 0.6
    assert chance(y) == pytest.approx(1 / 3)


def test_by_fold_equal_transcripts_score_at_chance() -> None:
    bags = words(["Come here.", "come HERE", "Go away"])
    assert (bags[0] == bags[1]).all()
    assert (bags[0] != bags[2]).any()
    assert by_fold(np.ones((6, 4)), ["x", "y"] * 3, ["0", "0", "1", "1", "2", "2"]) == 0.5
    assert words(["", ""]).shape == (2, 1)

"""Heads that find arguments: files, and the ranking of spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.errors import ModelError, Reason
from glasses.tools import spans
from glasses.tools.spans import SpanHeads

N_VALUES = 4


def heads() -> SpanHeads:
    of_words = (np.arange(2 * 3 * (2 * N_VALUES + 1)).reshape(2, 3, -1) / 10).astype(np.float16)
    of_all = np.ones(2 * N_VALUES + 1, np.float16)
    return SpanHeads("abc", ("name", "when"), of_words, of_all, np.eye(2, N_VALUES + 1, dtype=np.float16))


def test_heads_saved_and_loaded_score_the_same(tmp_path: Path) -> None:
    heads().save(tmp_path / "h.npz")
    loaded = spans.load(tmp_path / "h.npz", "abc")
    features = np.random.default_rng(0).standard_normal((5, 2 * N_VALUES)).astype(np.float32)
    assert loaded.kinds == ("name", "when")
    assert (loaded.scores("when", features) == heads().scores("when", features)).all()
    assert loaded.scores("when", features).shape == (3, 5)
    assert loaded.score_all(features) == heads().score_all(features)
    assert loaded.score_changes(features[0, :N_VALUES]) == {"up": features[0, 0], "down": features[0, 1]}
    assert [path.name for path in tmp_path.iterdir()] == ["h.npz"]


def test_load_heads_of_another_backbone_is_refused(tmp_path: Path) -> None:
    heads().save(tmp_path / "h.npz")
    with pytest.raises(ModelError, match="heads for backbone abc, this is other") as raised:
        spans.load(tmp_path / "h.npz", "other")
    assert raised.value.reason is Reason.WRONG_SPACE


@pytest.mark.parametrize("change", ["cut", "shape", "nan", "float32", "no file"])
def test_load_what_is_no_heads_is_refused(tmp_path: Path, change: str) -> None:
    made, path = heads(), tmp_path / "h.npz"
    of_words: Any = made.of_words.copy()
    if change == "nan":
        of_words[0, 0, 0] = np.nan
    if change == "shape":
        of_words = of_words[:1]
    if change == "float32":
        of_words = of_words.astype(np.float32)
    if change != "no file":
        SpanHeads(made.space, made.kinds, of_words, made.of_all, made.of_changes).save(path)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError) as raised:
        spans.load(path, "abc")
    assert raised.value.reason is (Reason.NOT_FOUND if change == "no file" else Reason.CORRUPT)


def test_ranked_begins_where_it_begins_and_ends_where_it_ends() -> None:
    scores = np.array([[-9, 5, -9, -9], [-3, 2, 2, -3], [-9, -9, 4, -9]], np.float32)
    best, *others = spans.ranked(scores)
    assert (best.first, best.last, best.score) == (1, 2, 13.0)
    assert len(others) == 9
    assert all(best.score >= other.score for other in others)


def test_ranked_keeps_to_the_longest_span() -> None:
    assert max(span.last - span.first for span in spans.ranked(np.zeros((3, 9), np.float32), longest=3)) == 2

"""The pictures of codes hold what they say, and are the same each time."""

from __future__ import annotations

import numpy as np

from glasses.evaluation import codes


def test_run_of_one_of_each_kind_finds_nothing_that_is_not_there() -> None:
    figures = codes.run(limit=len(codes.KINDS))
    assert figures["pictures"] == len(codes.KINDS)
    assert figures["invented"] == 0


def test_views_are_the_same_each_time_and_hold_their_number_of_codes() -> None:
    once, again = (list(codes.views(limit=4)) for _ in range(2))
    assert all(np.array_equal(one.rgb, other.rgb) for one, other in zip(once, again, strict=True))
    assert [view.kind for view in once] == ["plain", "inverted", "small", "several"]
    assert [len(view.truth) for view in once[:3]] == [1, 1, 1]

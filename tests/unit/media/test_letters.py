from __future__ import annotations

import numpy as np
import pytest

from glasses.media.letters import N_CANDIDATES, WIDTH, packed, soft_line, unpacked

BOX = np.array([[0, 0], [0.5, 0], [0.5, 0.25], [0, 0.25]], np.float32)
POINTS = np.array([0, *map(ord, "abcdefg")], np.int32)


def steps(*best: int) -> np.ndarray:
    letters = np.full((len(best), len(POINTS)), 0.001, np.float32)
    letters[np.arange(len(best)), list(best)] = 0.993
    return letters


def test_packed_lines_come_back_as_they_were() -> None:
    lines = [soft_line(steps(1, 2), POINTS, 0, BOX), soft_line(steps(3), POINTS, 0, BOX + 0.25)]
    back = unpacked(packed(lines))
    assert [one.letters[:, 0].tolist() for one in back] == [[97, 98], [99]]
    assert [one.row for one in back] == [0, 0]
    assert all((one.box == other.box).all() for one, other in zip(back, lines, strict=True))
    assert all((one.probabilities == other.probabilities).all() for one, other in zip(back, lines, strict=True))


def test_packed_nothing_has_the_width_of_latents() -> None:
    assert packed([]).shape == (0, WIDTH)
    assert unpacked(packed([])) == []


def test_soft_line_keeps_one_step_of_a_stretch_without_letters() -> None:
    line = soft_line(steps(0, 0, 1, 0, 0, 0, 1, 2, 0), POINTS, 0, BOX)
    assert line.letters[:, 0].tolist() == [97, 0, 97, 98, 0]
    assert line.letters.shape == line.probabilities.shape == (5, N_CANDIDATES)


@pytest.mark.parametrize("value", [0.5, -1.0, 2e6, np.nan])
def test_unpacked_of_something_else_is_refused(value: float) -> None:
    data = packed([soft_line(steps(1, 2), POINTS, 0, BOX)])
    data[1, 0] = value
    with pytest.raises(ValueError, match=r"latents"):
        unpacked(data)

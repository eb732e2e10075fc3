"""What shows nothing is told with its reason, and no photograph that shows something is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from glasses.evaluation.pictures import read_pictures
from glasses.media import view_quality as quality
from glasses.media.view_quality import clarity, why_unseen
from glasses.types import UInt8Array

PHOTOGRAPHS = {picture.file: picture.rgb for picture in read_pictures()}
PENGUIN = PHOTOGRAPHS["penguin.jpg"]
NOISE = np.random.default_rng(0)


def grained(values: np.ndarray, deviation: float = 2.0) -> UInt8Array:
    return np.clip(values + NOISE.normal(0, deviation, values.shape), 0, 255).astype(np.uint8)


def plain(red: float, green: float, blue: float) -> np.ndarray:
    """One colour, a tenth brighter on the right than on the left."""
    return np.linspace(0.95, 1.05, 640)[None, :, None] * np.tile(np.array([red, green, blue]), (480, 1, 1))


def test_why_unseen_held_out_photographs_are_all_seen() -> None:
    assert {file: why for file, rgb in PHOTOGRAPHS.items() if (why := why_unseen(rgb))} == {}


@pytest.mark.parametrize(
    ("rgb", "why"),
    [
        (grained(plain(0, 0, 0), 4), quality.BLACK),
        (grained(PENGUIN * 0.05, 1.5), quality.DARK),
        (np.clip(grained(PENGUIN * 0.01, 3).astype(np.float32) * 17, 0, 255).astype(np.uint8), quality.DARK),
        (grained(PENGUIN * 0.1 + 229, 0.5), quality.BRIGHT),
        (grained(cv2.GaussianBlur(PENGUIN, (0, 0), PENGUIN.shape[1] / 30), 1), quality.BLURRED),
        (grained(plain(90, 30, 20)), quality.COVERED),
        (grained(plain(70, 70, 75)), quality.COVERED),
        (grained(plain(190, 185, 180)), quality.PLAIN),
    ],
    ids=["black", "dark", "dark and grainy", "bright", "blurred", "finger", "cloth", "wall"],
)
def test_why_unseen_bad_pictures_say_what_is_wrong(rgb: UInt8Array, why: str) -> None:
    assert why_unseen(rgb) == why


def test_why_unseen_tiny_picture_says_its_size() -> None:
    assert "3 x 2 pixels" in why_unseen(np.zeros((2, 3, 3), np.uint8))


def test_why_unseen_night_and_a_line_of_print_are_seen() -> None:
    page = grained(plain(230, 230, 230))
    cv2.putText(page, "Opening hours", (40, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1)
    assert why_unseen(page) == ""
    assert why_unseen(grained(PENGUIN * 0.15)) == ""


def test_clarity_of_the_sharp_and_well_lit_is_greatest() -> None:
    blurred = np.asarray(cv2.GaussianBlur(PENGUIN, (0, 0), 3), np.uint8)
    moved = np.asarray(cv2.blur(PENGUIN, (15, 1)), np.uint8)
    dark, washed = grained(PENGUIN * 0.1, 1), np.clip(PENGUIN.astype(np.int32) * 4, 0, 255).astype(np.uint8)
    assert clarity(PENGUIN) > max(clarity(one) for one in (blurred, moved, dark, washed))

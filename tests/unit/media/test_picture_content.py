"""Depths that become 8 bits, transparency, and whether anything can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.media.picture_content import hardly_anything_in, nothing_in, to_rgb

RAMP = np.tile(np.arange(256, dtype=np.uint16), (64, 1))
NOISE = np.random.default_rng(0)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_to_rgb_depth_of_any_bits_uses_the_whole_range(bits: int) -> None:
    rgb = to_rgb(RAMP << (bits - 8))
    np.testing.assert_array_equal(rgb[:, :, 0], RAMP)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (RAMP / np.float32(255), 0, 255),
        (RAMP.astype(np.float32), 0, 255),
        (RAMP.astype(np.float32) * 7 - 500, 0, 255),
        (RAMP.astype(np.int16) - 128, 0, 255),
        (RAMP * 4 + 28_000, 0, 255),
        (RAMP.astype(np.float32) / 510, 0, 128),
        (RAMP.astype(np.int32) << 20, 0, 255),
    ],
)
def test_to_rgb_floats_signed_and_narrow_bands_are_scaled(values: np.ndarray, low: int, high: int) -> None:
    rgb = to_rgb(values)
    assert (rgb.min(), rgb.max()) == (low, high)


def test_to_rgb_values_that_are_not_finite_are_taken_for_the_lowest() -> None:
    values = RAMP.astype(np.float32)
    values[0, 0], values[0, 1] = np.nan, np.inf
    assert to_rgb(values)[0, :2, 0].tolist() == [0, 0]
    assert to_rgb(np.full((4, 4), np.nan, np.float32)).max() == 0


def test_to_rgb_white_drawing_without_background_stays_visible() -> None:
    drawing = np.full((64, 64, 4), 255, np.uint8)
    drawing[:, :, 3] = 0
    drawing[20:40, 20:40, 3] = 255
    assert nothing_in(to_rgb(drawing)) is None


def picture_of(grey: int, noise: int = 0) -> np.ndarray:
    values = grey + NOISE.integers(-noise, noise + 1, (480, 640, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("grey", "noise", "word"), [(0, 0, "black"), (0, 9, "black"), (255, 0, "white"), (128, 0, "one colour")]
)
def test_nothing_in_picture_of_one_colour_is_found(grey: int, noise: int, word: str) -> None:
    assert word in (nothing_in(picture_of(grey, noise)) or "")


def test_nothing_in_line_of_text_on_white_is_something() -> None:
    page = picture_of(255)
    page[200:212, 100:300:4] = 0
    assert nothing_in(page) is None


def test_nothing_in_tiny_picture_is_too_small() -> None:
    assert "7 x 40" in (nothing_in(NOISE.integers(0, 255, (40, 7, 3), np.uint8)) or "")


def test_hardly_anything_in_dark_and_overexposed_are_doubts() -> None:
    shown = np.repeat(RAMP[:, :, None], 3, axis=2).astype(np.uint8)
    assert hardly_anything_in(shown) is None
    assert hardly_anything_in(shown // 10) == "it is very dark"
    assert hardly_anything_in(255 - shown // 16) == "it is overexposed"

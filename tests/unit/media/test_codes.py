"""QR and bar codes in pictures are read as they are, and nothing is read where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.evaluation import codes as made
from glasses.media.codes import read_codes
from glasses.types import UInt8Array


def view_of(*codes: UInt8Array) -> UInt8Array:
    """A grey view 480 pixels high with the codes side by side."""
    grey = np.full((480, 60 + sum(code.shape[1] + 60 for code in codes)), 120, np.uint8)
    left = 60
    for code in codes:
        grey[80 : 80 + code.shape[0], left : left + code.shape[1]] = code
        left += code.shape[1] + 60
    return np.repeat(grey[:, :, None], 3, axis=2)


def read(rgb: UInt8Array) -> list[tuple[str, str]]:
    return [(code.kind, code.text) for code in read_codes(rgb)]


@pytest.mark.parametrize("text", ["https://example.org/menu?table=7", "Straße 5, Łódź", "a\x1b[31mred end"])
def test_read_codes_qr_gives_its_text_as_it_is(text: str) -> None:
    assert read(view_of(made.qr_code(text))) == [("QR code", text)]


def test_read_codes_bytes_that_are_no_utf8_are_latin_1() -> None:
    assert read(view_of(made.qr_code("caf\udce9".encode("utf-8", "surrogateescape").decode("latin-1")))) == [
        ("QR code", "café")
    ]


def test_read_codes_bright_on_dark_is_read() -> None:
    assert read(view_of(255 - made.qr_code("Gate B12"))) == [("QR code", "Gate B12")]


def test_read_codes_several_are_read_from_left_to_right() -> None:
    digits = made.with_check_digit("400638133393")
    view = view_of(made.qr_code("first"), made.ean13(digits), made.qr_code("last"))
    assert read(view) == [("QR code", "first"), ("bar code", digits), ("QR code", "last")]


def test_read_codes_corners_are_where_the_code_is() -> None:
    code = made.qr_code("here")
    (found,) = read_codes(view_of(code))
    assert found.box.shape == (4, 2)
    assert np.abs(found.box.mean(axis=0) - [60 + code.shape[1] / 2, 80 + code.shape[0] / 2]).max() < 8


@pytest.mark.parametrize("shape", [(8, 8, 3), (480, 640, 3), (3000, 20, 3)])
def test_read_codes_without_a_code_finds_nothing(shape: tuple[int, int, int]) -> None:
    assert read(np.random.default_rng(0).integers(0, 256, shape, np.uint8)) == []


def test_with_check_digit_of_a_known_number() -> None:
    assert made.with_check_digit("400638133393") == "4006381333931"

"""What the wearer is told of a code: all that matters, nothing that steers, and that nothing is opened."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from glasses.errors import InputError, Reason
from glasses.evaluation.codes import qr_code
from glasses.media.codes import Code
from glasses.tools.builtin import codes
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from glasses.types import UInt8Array


def context(rgb: UInt8Array) -> ToolContext:
    return ToolContext(lambda: datetime(2026, 3, 4), ToolStore(":memory:"), view=lambda: rgb)


def on_grey(code: UInt8Array) -> UInt8Array:
    return np.repeat(np.pad(code, 60, constant_values=120)[:, :, None], 3, axis=2)


def told(text: str) -> str:
    return codes.told(Code("QR code", text, np.zeros((4, 2), np.float32)), "The")


def test_read_code_tells_what_it_holds() -> None:
    assert codes.read_code.call(context(on_grey(qr_code("Gate B12"))), {}) == "The QR code says: Gate B12."


def test_read_code_several_are_counted() -> None:
    view = np.concatenate([on_grey(qr_code("one")), on_grey(qr_code("two"))], axis=1)
    said = codes.read_code.call(context(view), {})
    assert said == "I see 2 codes. A QR code says: one. A QR code says: two."


def test_read_code_without_one_says_what_to_do() -> None:
    with pytest.raises(InputError, match="no code that I can read") as raised:
        codes.read_code.call(context(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)), {})
    assert raised.value.reason is Reason.NOT_FOUND


def test_read_code_without_a_picture_says_so() -> None:
    with pytest.raises(InputError, match="I see nothing"):
        codes.read_code.call(ToolContext(datetime.now, ToolStore(":memory:")), {})


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://example.org/menu", " at example.org"),
        ("https://bank.example@evil.test/login", " at evil.test"),
        ("HTTP://192.0.2.1:8080/pay?to=me", " at 192.0.2.1"),
        ("javascript:alert(1)", ""),
        ("http://[::1", ""),
        ("tel:+493012345", ""),
    ],
)
def test_told_of_an_address_names_its_host_and_that_it_is_not_opened(address: str, host: str) -> None:
    assert told(address) == f"The QR code holds an address{host}, which I do not open: {address}."


def test_told_of_an_address_warns_of_letters_like_others() -> None:
    assert "at аpple.com, whose letters may not be what they look like" in told("https://аpple.com/")  # noqa: RUF001


def test_told_without_what_steers_a_terminal_or_turns_the_text_around() -> None:
    said = told("\x1b[2Jpay\u202e\n\tnow\x07\u200b")
    assert said == "The QR code says: [2Jpay now."
    assert told("\x00\x1b\u200e") == "The QR code holds nothing that can be said."


def test_told_of_what_is_long_is_shortened() -> None:
    said = told("x" * 2900)
    assert len(said) < 250
    assert said.endswith("and 2740 more characters.")


def test_read_code_in_the_dark_says_that_it_is_dark() -> None:
    with pytest.raises(InputError, match="too dark"):
        codes.read_code.call(context(np.full((480, 640, 3), 3, np.uint8)), {})

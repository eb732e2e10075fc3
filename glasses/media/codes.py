"""Reads QR and bar codes in a picture. What they hold is text from anybody: it is never opened, fetched or obeyed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from glasses.types import Float32Array, UInt8Array, frozen

log = logging.getLogger(__name__)
Kind = Literal["QR code", "bar code"]
LONG_SIDE = 1600  # pixels; a larger picture is read at this size too, as the detectors miss codes that fill it
SMALL_SIDE = 1000  # pixels; a smaller picture is read at twice its size too
_MAX_CODES = 16  # in one picture; nobody listens to more
_SAME = 0.5  # of a code's width: what two ways of reading find closer together is one code
_BAR_CODES = frozenset(("EAN_13", "EAN_8", "UPC_A", "UPC_E"))
_BAR_SIZES = {"EAN_13": (13, 12), "EAN_8": (8,), "UPC_A": (12, 13), "UPC_E": (8, 6)}  # digits; 6 is a zipped UPC-E


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """One code: what it holds, as it stands in it, and its corners float32 (4, 2) in pixels."""

    kind: Kind
    text: str
    box: Float32Array


def read_codes(rgb: UInt8Array) -> list[Code]:
    """The codes in a picture uint8 (H, W, 3) that can be read, from top to bottom and left to right.

    Dark on bright or bright on dark, turned, tilted, stained as far as their own correction reaches.
    """
    found = list[Code]()
    for grey, scale in _ways(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)):
        for code in (*_qr_codes(grey), *_qr_codes(255 - grey), *_bar_codes(grey)):
            there = Code(code.kind, code.text, frozen(code.box / np.float32(scale)))
            if not any(_is_same(there, known) for known in found):
                found.append(there)
    return _in_order(found)[:_MAX_CODES]


def _in_order(codes: list[Code]) -> list[Code]:
    """By rows: codes whose middles lie less than half a code's height apart stand beside one another."""
    rows = list[list[Code]]()
    for code in sorted(codes, key=lambda code: float(code.box[:, 1].mean())):
        below = code.box[:, 1].mean() - rows[-1][0].box[:, 1].mean() if rows else np.inf
        if below < np.ptp(code.box[:, 1]) / 2 or (rows and below < np.ptp(rows[-1][0].box[:, 1]) / 2):
            rows[-1].append(code)
        else:
            rows.append([code])
    return [code for row in rows for code in sorted(row, key=lambda code: float(code.box[:, 0].mean()))]


def _ways(grey: Any) -> Iterator[tuple[Any, float]]:
    """The picture in the ways that codes are looked for, each with how much larger it is.

    Each found something that no other did, on the pictures of glasses/evaluation/codes.py.
    """
    longest = max(grey.shape)
    other = LONG_SIDE / longest if longest > LONG_SIDE else 2.0 if longest < SMALL_SIDE else 0.5
    yield grey, 1.0
    yield _sized(grey, other), other
    soft = cv2.GaussianBlur(grey, (0, 0), 1.0)  # bars are found by their edges, which noise breaks up
    yield soft, 1.0
    yield _sized(soft, 0.75), 0.75
    yield _plain(grey), 1.0


def _sized(grey: Any, scale: float) -> Any:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=how)


def _plain(grey: Any) -> Any:
    """The picture without specks and with the light made even: what is worn, or lies in the dark."""
    even = cv2.createCLAHE(clipLimit=4.0, tileGridSize=(8, 8)).apply(grey)
    return cv2.medianBlur(even, 5)


def _qr_codes(grey: Any) -> Iterator[Code]:
    try:
        _, held, corners, _ = cv2.QRCodeDetectorAruco().detectAndDecodeBytesMulti(grey)
    except cv2.error as error:  # an assertion of its own, where it took something else for the marks of a code
        log.debug("reading QR codes: %s", error.err)
        return
    for data, box in zip(held, () if corners is None else corners, strict=False):
        if data:
            yield Code("QR code", _text(bytes(data)), np.asarray(box, np.float32).reshape(4, 2))


def _bar_codes(grey: Any) -> Iterator[Code]:
    _, held, kinds, corners = cv2.barcode.BarcodeDetector().detectAndDecodeWithType(grey)
    for text, kind, box in zip(held, kinds, () if corners is None else corners, strict=False):
        if text and kind in _BAR_CODES and len(text) in _BAR_SIZES[kind]:
            yield Code("bar code", text, np.asarray(box, np.float32).reshape(4, 2))


def _text(data: bytes) -> str:
    """UTF-8, which most codes hold; else Latin 1, as ISO/IEC 18004 has it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _is_same(one: Code, other: Code) -> bool:
    if one.kind != other.kind:
        return False
    sides: NDArray[np.float32] = np.ptp(other.box, axis=0)
    apart = float(np.abs(one.box.mean(axis=0) - other.box.mean(axis=0)).max())
    return apart < _SAME * float(sides.max())

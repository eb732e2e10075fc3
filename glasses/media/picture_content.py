"""Makes 8-bit RGB of whatever a decoder gives, and tells whether anything can be seen in it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glasses.types import UInt8Array

MIN_SIDE = 8  # pixels; below it nothing can be made out
SPREAD = 8  # grey levels of 256 between the darkest and the brightest part, below which it is one colour
DARK, BRIGHT = 32, 235  # no part is brighter, or darker, than this: little can be made out
_GRID = 64  # parts along the longer side: single noisy pixels vanish in them, a line of text does not
_FULL_BITS = 8


def nothing_in(rgb: UInt8Array) -> str | None:
    """Why nothing can be seen in a picture, in words; None where something can."""
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        return f"it is {width} x {height} pixels, too small to show anything"
    parts = _parts(rgb)
    if np.ptp(parts.reshape(-1, 3), axis=0).max() >= SPREAD:
        return None
    mean = float(parts.mean())
    return f"it is all {'black' if mean < DARK else 'white' if mean > 255 - DARK else 'one colour'}"


def hardly_anything_in(rgb: UInt8Array) -> str | None:
    """A doubt, in words, about a picture that shows something but lies at the end of the scale; else None."""
    parts = _parts(rgb)
    if parts.max() < DARK:
        return "it is very dark"
    return "it is overexposed" if parts.min() > BRIGHT else None


def _parts(rgb: UInt8Array) -> UInt8Array:
    """The picture in parts of equal size, each its mean."""
    height, width = rgb.shape[:2]
    scale = min(1.0, _GRID / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA), np.uint8)


def to_rgb(picture: NDArray[Any]) -> UInt8Array:
    """A decoder's grey, grey with alpha, BGR or BGRA picture of any depth as uint8 (H, W, 3) RGB.

    Transparency is laid on white, or on black where white shows nothing; transparency that hides everything is ignored.
    """
    if picture.ndim == 2:
        return np.repeat(_to_8_bits(picture)[:, :, None], 3, axis=2)
    channels = picture.shape[2]
    if channels in (1, 2):
        grey = np.repeat(_to_8_bits(picture[:, :, 0])[:, :, None], 3, axis=2)
        return grey if channels == 1 else _opaque(grey, _alpha(picture[:, :, 1]))
    rgb = _to_8_bits(np.ascontiguousarray(picture[:, :, 2::-1]))
    return rgb if channels == 3 else _opaque(rgb, _alpha(picture[:, :, 3]))


def _alpha(alpha: NDArray[Any]) -> NDArray[np.uint16]:
    """0..255, as uint16 (H, W, 1) for products; of a float or a deeper alpha the full scale is known."""
    if alpha.dtype.kind == "f":
        alpha = np.nan_to_num(np.clip(alpha, 0, 1)) * 255
    elif alpha.dtype.itemsize > 1:
        alpha = alpha >> (8 * alpha.dtype.itemsize - _FULL_BITS)
    return alpha.astype(np.uint16)[:, :, None]


def _opaque(rgb: UInt8Array, alpha: NDArray[np.uint16]) -> UInt8Array:
    if alpha.min() == 255:
        return rgb
    if alpha.max() == 0:
        return rgb
    on_white = _laid_on(rgb, alpha, 255)
    if nothing_in(on_white) is None:
        return on_white
    return next((tried for tried in (_laid_on(rgb, alpha, 0), rgb) if nothing_in(tried) is None), on_white)


def _laid_on(rgb: UInt8Array, alpha: NDArray[np.uint16], grey: int) -> UInt8Array:
    return ((rgb * alpha + grey * (255 - alpha) + 127) // 255).astype(np.uint8)


def _to_8_bits(values: NDArray[Any]) -> UInt8Array:
    """Any depth as uint8, scaled to the bits that are used: 10 bits of 16, float from 0 to 1, raw sensor counts."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        return _float_to_8_bits(values)
    low, high = int(values.min()), int(values.max())
    bits = high.bit_length()
    if low < 0 or (high - low) >> max(0, bits - _FULL_BITS) < SPREAD <= high - low:
        return _stretched(values.astype(np.float32), low, high)  # signed, or a narrow band far from black
    if bits <= _FULL_BITS:
        return values.astype(np.uint8)
    return (values >> (bits - _FULL_BITS)).astype(np.uint8)


def _float_to_8_bits(values: NDArray[Any]) -> UInt8Array:
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.uint8)
    low, high = float(values[finite].min()), float(values[finite].max())
    clean = np.where(finite, values, low).astype(np.float32)
    if low >= 0 and 0.1 <= high <= 1:
        return _stretched(clean, 0.0, 1.0)
    return clean.astype(np.uint8) if low >= 0 and 1 < high <= 255 else _stretched(clean, low, high)


def _stretched(values: NDArray[np.float32], low: float, high: float) -> UInt8Array:
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    return np.clip((values - low) * (255.0 / (high - low)) + 0.5, 0, 255).astype(np.uint8)

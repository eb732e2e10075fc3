"""Tells when a picture shows nothing that could be made out, and which of some pictures shows most.

Measured on the grey picture made smaller, where what is left of sensor noise is known. The limits were set on
photographs of Debian packages that were darkened, blurred, washed out and grained, and on made pictures of fingers and
walls; none of the held-out photographs of models/eval/pictures comes near one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from glasses.media.picture_content import MIN_SIDE
from glasses.types import Float32Array, UInt8Array

BLACK = "It is too dark to see, or something covers the camera."
DARK = "It is too dark to see. Some light would help."
BRIGHT = "It is too bright to see. Turn away from the light."
BLURRED = "The picture is too blurred to see. Hold still, and not too close."
COVERED = "Something covers the camera. Wipe it, or move your hand away."
PLAIN = "I see one colour and nothing else. Step back, or look whether something covers the camera."

_SIDE = 320  # pixels of the longer side that is measured
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_EDGE = 1.5  # grey levels a pixel: the strongest edges of a picture that shows nothing stay below
_OVER_NOISE = 2.5  # times what noise alone makes: the strongest edges of a picture that shows something are above
_NOISE_EDGE = 0.74  # strongest edges of white noise of deviation 1, of a thousand, after the blur of deviation 1
_BLACK, _DARK, _NIGHT, _BRIGHT = 8.0, 14.0, 32.0, 225.0  # grey levels
_GRAIN = 1.0  # of noise alone, as edges: a camera in good light has half of it
_GRAINY_DARK = 70.0  # mean grey level up to which grain without a picture in it is darkness that a camera turned up
_WASHED_OUT = 40.0  # grey levels between the darkest and the brightest: all that is left of too bright a view
_BLUR = 3e-5  # sharpness; photographs in focus have 3e-4 and more, those blurred by 12 of 640 pixels about 2e-5
_DIRECTIONS = np.arange(0, np.pi, np.pi / 8)  # in which sharpness is measured: motion blurs in one
_RED = 1.35  # times green and blue: light through a finger
_FINGER = 110.0  # mean grey level that a covered lens does not reach


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured: grey levels 0..255; the strongest edges, in grey levels a pixel, and how strong noise alone
    would make them; `sharpness`, the variance of the second derivative in the direction in which it is least, by the
    variance of the grey levels; `redness`, red by the greater of green and blue.
    """

    mean: float
    low: float
    high: float
    edges: float
    sharpness: float
    noise_edges: float
    redness: float


def measure(rgb: UInt8Array) -> Quality:
    """Of a picture uint8 (H, W, 3); a millisecond or two."""
    small = _smaller(rgb)
    grey = np.asarray(small @ _LUMA, np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.0)
    steps = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)) / 8
    low, high = np.percentile(soft, (0.05, 99.95))
    red, green, blue = small.reshape(-1, 3).mean(axis=0)
    return Quality(
        mean=float(grey.mean()),
        low=float(low),
        high=float(high),
        edges=float(np.percentile(steps, 99.9)),
        sharpness=_detail(soft) / (float(np.var(soft)) + 1.0),
        noise_edges=_NOISE_EDGE * _noise(grey),
        redness=float(red / (max(green, blue) + 1.0)),
    )


def why_unseen(rgb: UInt8Array) -> str:
    """What is wrong with a picture uint8 (H, W, 3) in which nothing can be made out, and what to do; else ""."""
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        return f"The picture is {width} x {height} pixels, too small to show anything."
    found = measure(rgb)
    if found.high < _BLACK:
        return BLACK
    if found.edges < _EDGE or _is_grain(found):
        return _smooth(found)
    if found.high < _DARK:
        return DARK
    if found.low > _BRIGHT and found.high - found.low < _WASHED_OUT:
        return BRIGHT
    return BLURRED if found.sharpness < _BLUR else ""


def clarity(rgb: UInt8Array) -> float:
    """How much can be made out, for comparing pictures of one view: its detail, less what is too dark or too bright to
    show any.
    """
    soft = cv2.GaussianBlur(np.asarray(_smaller(rgb) @ _LUMA, np.float32), (0, 0), 1.0)
    shown = float(np.mean((soft > _DARK) & (soft < 250)))
    return shown * _detail(soft)


def _is_grain(found: Quality) -> bool:
    """Whether a dark picture holds nothing but noise: in the light fine patterns look like it."""
    return found.mean < _GRAINY_DARK and found.edges < _OVER_NOISE * found.noise_edges


def _smooth(found: Quality) -> str:
    """Of a picture without an edge: whether that is darkness, light, a hand or a wall."""
    if found.redness > _RED and found.high > _DARK:
        return COVERED
    if found.high < _NIGHT:
        return BLACK
    if _is_grain(found) and found.noise_edges > _GRAIN:
        return DARK
    if found.mean < _FINGER:
        return COVERED
    return BRIGHT if found.low > 252 and found.high - found.low < 2 else PLAIN


def _detail(soft: NDArray[Any]) -> float:
    """The variance of the second derivative of a grey picture, in the direction in which it is least."""
    across, down = (cv2.Sobel(soft, cv2.CV_32F, *order) / 4 for order in ((2, 0), (0, 2)))
    both = cv2.Sobel(soft, cv2.CV_32F, 1, 1) / 4
    directions = ((np.cos(turn), np.sin(turn)) for turn in _DIRECTIONS)
    return min(float(np.var(c * c * across + 2 * c * s * both + s * s * down)) for c, s in directions)


def _smaller(rgb: UInt8Array) -> Float32Array:
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA), np.float32)


def _noise(grey: Float32Array) -> float:
    """The noise's standard deviation, from what a plane or an edge leaves nothing of (Immerkaer 1996): of the median,
    which a picture's own detail moves little.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    left: NDArray[np.float32] = np.abs(cv2.filter2D(grey, cv2.CV_32F, kernel))
    return float(np.median(left)) / (6 * 0.6745)

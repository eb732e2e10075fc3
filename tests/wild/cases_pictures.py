"""Pictures in which nothing is seen, or not as it was meant: blank, deep, transparent, lying on their side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.wild.case import Case
from tests.wild.pictures import EXIF_6, alpha, animation, array, asked, file, grey, heif, lying, noise, penguin, sees

_PENGUIN = r"^A penguin\.$"
_NOTHING = r"nothing can be seen.*cannot see anything"


def _shows(kind: int, name: str, right: str, make: Callable[[], bytes], is_listed: bool = False) -> Case:
    return Case(kind, name, right, sees(make), is_listed)


CASES = [
    _shows(10, "blank-white", _NOTHING, lambda: file(Image.new("RGB", (640, 480), "white"), "PNG"), True),
    _shows(10, "blank-black", _NOTHING, lambda: file(Image.new("RGB", (640, 480)), "PNG"), True),
    _shows(10, "blank-webp", _NOTHING, lambda: file(Image.new("RGB", (640, 480), "white"), "WEBP"), True),
    _shows(10, "tiny-1x1", "1 x 1 pixels, too small", lambda: array(np.zeros((1, 1, 3), np.uint8)), True),
    _shows(10, "grey16-10bit", _PENGUIN, lambda: array(grey().astype(np.uint16) << 2), True),
    _shows(10, "alpha-all-zero", _PENGUIN, lambda: file(alpha(0), "PNG"), True),
    _shows(10, "alpha-all-zero-webp", _PENGUIN, lambda: file(alpha(0), "WEBP", exact=True), True),
    _shows(10, "animation-first-frame-empty-gif", _PENGUIN, lambda: animation("GIF"), True),
    _shows(10, "animation-first-frame-empty-webp", _PENGUIN, lambda: animation("WEBP"), True),
    _shows(10, "depth-float-0-1", _PENGUIN, lambda: array(grey().astype(np.float32) / 255, "TIFF"), True),
    _shows(10, "animation-first-frame-empty-png", _PENGUIN, lambda: animation("PNG")),
    _shows(10, "float-counts", _PENGUIN, lambda: array(grey().astype(np.float32) * 16 + 4000, "TIFF")),
    _shows(10, "grey16-narrow-band", _PENGUIN, lambda: array(grey().astype(np.uint16) * 4 + 28_000)),
    _shows(10, "grey-8-bits-in-16", _PENGUIN, lambda: array(grey().astype(np.uint16))),
    _shows(10, "alpha-almost-zero", _PENGUIN, lambda: file(alpha(1), "PNG")),
    _shows(10, "lens-cap-noise", _NOTHING, lambda: file(noise(), "JPEG")),
    _shows(10, "cmyk-tiff", _PENGUIN, lambda: file(penguin().convert("CMYK"), "TIFF")),
    _shows(10, "grey-with-alpha", _PENGUIN, lambda: file(penguin().convert("LA"), "PNG")),
    _shows(10, "palette", _PENGUIN, lambda: file(penguin().quantize(128), "PNG")),
    Case(
        10,
        "blank-on-the-command-line",
        r"rc 0\s+I cannot see.*note: nothing",
        asked(lambda: file(Image.new("L", (99, 99)), "PNG"), "a.png"),
    ),
    _shows(11, "exif6-alpha", _PENGUIN, lambda: file(lying("RGBA"), "PNG", exif=EXIF_6), True),
    _shows(11, "exif6-grey-alpha", _PENGUIN, lambda: file(lying("LA"), "PNG", exif=EXIF_6), True),
    _shows(11, "exif6-palette", _PENGUIN, lambda: file(lying().quantize(128), "PNG", exif=EXIF_6)),
    _shows(11, "exif6-tiff", _PENGUIN, lambda: file(lying(), "TIFF", exif=EXIF_6)),
    _shows(11, "exif6-webp-alpha", _PENGUIN, lambda: file(lying("RGBA"), "WEBP", exif=EXIF_6)),
    _shows(11, "exif6-avif", _PENGUIN, lambda: file(lying(), "AVIF", exif=EXIF_6)),
    _shows(11, "exif6-heic", _PENGUIN, lambda: heif(lying(), exif=EXIF_6)),
]

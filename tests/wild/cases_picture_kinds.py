"""Pictures that a reader refuses or complains of for no good reason: much metadata, other kinds, wrong names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.wild.case import Case
from tests.wild.pictures import (
    array,
    asked,
    damaged_jpeg,
    file,
    grey,
    heif,
    packed,
    penguin,
    printed,
    sees,
    terminal,
    with_chunk,
)

_PENGUIN = r"^A penguin\.$"
_QUIET = r"^printed:  \| A penguin\."
_HEIC = b"\0\0\0\x1cftypheic\0\0\0\0heicmif1miaf" + bytes(4000)
_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>'
_MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(200)
_WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(200)
_HTML = b"<!DOCTYPE html><html><body>404</body></html>"
_BROKEN_EXIF = b"Exif\0\0MM\0\x2a\xff\xff\xff\xff"


def _shows(name: str, right: str, make: Callable[[], bytes], is_listed: bool = False) -> Case:
    return Case(12, name, right, sees(make), is_listed)


def _tiff() -> bytes:
    return array(grey().astype(np.float32) / 255, "TIFF")


CASES = [
    _shows("meta-ztxt-1.1MB", _PENGUIN, lambda: with_chunk(b"zTXt", b"a\0\0" + packed(1_100_000)), True),
    _shows("meta-itxt-2MB", _PENGUIN, lambda: with_chunk(b"iTXt", b"a\0\1\0\0\0" + packed(2_000_000)), True),
    _shows("meta-icc-2MB", _PENGUIN, lambda: with_chunk(b"iCCP", b"display\0\0" + packed(2_000_000)), True),
    _shows("meta-many-text", _PENGUIN, lambda: with_chunk(b"tEXt", b"a\0" + b"x" * 90, 4000), True),
    _shows("web-avif", _PENGUIN, lambda: file(penguin(), "AVIF"), True),
    _shows("meta-bomb", _PENGUIN, lambda: with_chunk(b"zTXt", b"a\0\0" + packed(50_000_000))),
    _shows("meta-wrong-checksum", _PENGUIN, lambda: with_chunk(b"tEXt", b"a\0x").replace(b"tEXta\0x", b"tEXta\0y")),
    _shows("meta-jpeg-broken-exif", _PENGUIN, lambda: file(penguin(), "JPEG", exif=_BROKEN_EXIF)),
    _shows("heic", _PENGUIN, lambda: heif(penguin())),
    Case(
        12,
        "phone-named-jpg",
        "phone.jpg is of the kind HEIC, whatever its name",
        asked(lambda: _HEIC, "phone.jpg"),
        True,
    ),
    Case(12, "svg-named-png", r"SVG.*rsvg-convert '.*a b\.png'", asked(lambda: _SVG, "a b.png"), True),
    _shows("jpeg-xl", "JPEG XL.*convert it to PNG$", lambda: b"\xff\x0a" + bytes(200), True),
    Case(12, "pdf", "PDF.*pdftoppm", asked(lambda: b"%PDF-1.7\n" + bytes(200), "a.png")),
    Case(12, "video", "MP4.*-frames:v 1", asked(lambda: _MP4, "a.jpg")),
    _shows("sound-given-as-picture", r"is a sound \(WAV\), not a picture", lambda: _WAV),
    _shows("web-page", "web page", lambda: _HTML),
    Case(24, "libpng-warning", _QUIET, printed(lambda: with_chunk(b"iCCP", b"display\0\0" + packed(3))), True),
    Case(24, "opencv-tiff-warning", r"^rc 0\s+A penguin\.\s*$", terminal(_tiff, "a.tiff"), True),
    Case(24, "libjpeg-warning", r"^printed:  \| A ", printed(damaged_jpeg)),
]

"""Reads picture files into plain arrays.

Everything that can be wrong with a user's picture is found here and raised as an InputError that says what is wrong,
with which file, and what to do. Sizes are checked from the header before anything is allocated.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glasses.errors import InputError, Reason
from glasses.media.files import OnNote, log_note, read_bytes, regular_file
from glasses.types import UInt8Array

MAX_PIXELS = 25_000_000  # 75 MB of RGB; a larger baseline JPEG is decoded at 1/2, 1/4 or 1/8 of its size
MAX_IMAGE_FILE_BYTES = 256 << 20

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # what both Pillow and OpenCV read
_IMAGE_HINT = "use a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM picture"


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, on_note: OnNote = log_note) -> UInt8Array:
    """The picture in `path` as uint8 (H, W, 3) RGB, upright as its EXIF orientation says, transparency on white.

    A baseline JPEG over `max_pixels` is decoded at a half, a quarter or an eighth of its size; any other picture
    over it is refused, because it would have to be in memory whole. The first picture of an animation is taken.
    A picture with transparency is not turned (OpenCV keeps its alpha channel only as stored).
    Raises InputError: NOT_FOUND, BAD_INPUT (no picture), TOO_LARGE, CORRUPT (cut short or damaged).
    """
    path = regular_file(path)
    return decode_image(read_bytes(path, MAX_IMAGE_FILE_BYTES), str(path), max_pixels=max_pixels, on_note=on_note)


def decode_image(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, on_note: OnNote = log_note) -> UInt8Array:
    """As `read_image`, of the bytes of a picture; `name` is what errors and notes call it."""
    if not data:
        raise InputError(Reason.BAD_INPUT, f"{name} is empty (0 bytes)")
    header = _image_header(data, name)
    reduce_by = _reduction(header, name, max_pixels)
    if _is_cut_short(data):
        raise InputError(Reason.CORRUPT, f"{name} is cut short: its end is missing; copy it again")
    flags = cv2.IMREAD_UNCHANGED if header.has_transparency_data else _REDUCED[reduce_by]
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise InputError(Reason.CORRUPT, f"{name} cannot be decoded ({error.err}); {_IMAGE_HINT}") from error
    if picture is None:
        raise InputError(Reason.CORRUPT, f"{name} is damaged or of a kind that cannot be decoded; {_IMAGE_HINT}")
    return _rgb(np.asarray(picture))


def _image_header(data: bytes, name: str) -> Image.Image:
    """Pillow's lazily opened picture: size and mode are known, nothing is decoded."""
    try:
        with warnings.catch_warnings():
            # It warns of sizes that our lower cap refuses next, and of damage that the decoder meets if it matters.
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS)
    except UnidentifiedImageError as error:
        raise InputError(
            Reason.BAD_INPUT, f"{name} is not a picture of a known format, or damaged; {_IMAGE_HINT}"
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(Reason.TOO_LARGE, f"{name} is far too large ({error}); make it smaller") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's parsers raise on a broken header
        raise InputError(Reason.CORRUPT, f"{name} has a damaged header ({error}); copy it again") from error


def _reduction(header: Image.Image, name: str, max_pixels: int) -> int:
    """By what to divide the sides while decoding. Raises InputError(TOO_LARGE)."""
    width, height = header.size
    # A progressive JPEG holds all its coefficients in memory, however small the picture that is made of them.
    can_reduce = header.format in ("JPEG", "MPO") and not header.info.get("progressive")
    for by in (1, 2, 4, 8) if can_reduce else (1,):
        if -(-width // by) * -(-height // by) <= max_pixels:
            return by
    raise InputError(
        Reason.TOO_LARGE,
        f"{name} is {width} x {height}, over the cap of {max_pixels:,} pixels; make it smaller",
    )


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end: OpenCV would fill the rest with grey and say nothing."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if not data.startswith(b"\xff\xd8"):
        return False
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:  # segments up to the first scan
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0  # ITU T.81 B.1.1.5: coded data never contains an end-of-image marker


def _rgb(picture: NDArray[Any]) -> UInt8Array:
    """OpenCV's grey, BGR or BGRA picture of 8 or 16 bits as uint8 (H, W, 3) RGB, transparency on white."""
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)
    if picture.ndim == 2:
        return np.repeat(picture[:, :, None], 3, axis=2)
    rgb = np.ascontiguousarray(picture[:, :, 2::-1])
    if picture.shape[2] == 3:
        return rgb
    alpha = picture[:, :, 3:].astype(np.uint16)
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)

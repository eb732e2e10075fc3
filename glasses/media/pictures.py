"""Reads picture files into plain arrays.

Everything that can be wrong with a user's picture is found here and raised as an InputError that says what is wrong,
with which file, and what to do. The kind is told by the bytes, sizes are checked from the header before anything is
allocated, and the picture is turned upright here, never by a decoder.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glasses.errors import InputError, Reason
from glasses.media.files import OnNote, log_note, read_bytes, regular_file
from glasses.media.kinds import cannot_read, how_to_convert, kind_of
from glasses.media.native_output import native_output_to_log
from glasses.media.picture_content import hardly_anything_in, nothing_in, to_rgb
from glasses.media.picture_headers import HEADER_READERS, PictureHeader, read_header
from glasses.types import UInt8Array

MAX_PIXELS = 25_000_000  # 75 MB of RGB; a larger baseline JPEG is decoded at 1/2, 1/4 or 1/8 of its size
MAX_IMAGE_FILE_BYTES = 256 << 20
MAX_FRAMES = 64  # of an animation, that are looked at for one that shows something

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_BY_PILLOW = ("AVIF", "HEIC")  # turned upright as their containers say, by rules of their own
_OF_OPENCV = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # Pillow's names
_OF_PILLOW = ("AVIF", "HEIF")
_IMAGE_HINT = "use a JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or PPM picture"
_ORIENTATION_TAG = 0x0112
# EXIF's orientations (JEITA CP-3451 4.6.4 A): how the picture as stored becomes upright.
_TURNS: dict[int, Callable[[UInt8Array], UInt8Array]] = {
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.transpose(1, 0, 2),
    6: lambda rgb: np.rot90(rgb, -1),
    7: lambda rgb: np.rot90(rgb, 2).transpose(1, 0, 2),
    8: np.rot90,
}


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, on_note: OnNote = log_note) -> UInt8Array:
    """The picture in `path` as uint8 (H, W, 3) RGB, upright as its EXIF orientation says, transparency on white.

    A baseline JPEG over `max_pixels` is decoded at a half, a quarter or an eighth of its size; any other picture
    over it is refused, because it would have to be in memory whole. Of an animation the first picture is taken that
    shows something. Depths over 8 bits are scaled to the bits that are used. `on_note` gets a note in words where
    nothing, or hardly anything, can be seen.
    Raises InputError: NOT_FOUND, BAD_INPUT (no picture), TOO_LARGE, CORRUPT (cut short or damaged), NOT_INSTALLED (the
    extra `heic`).
    """
    path = regular_file(path)
    return _decode(read_bytes(path, MAX_IMAGE_FILE_BYTES), str(path), path, max_pixels, on_note)


def decode_image(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, on_note: OnNote = log_note) -> UInt8Array:
    """As `read_image`, of the bytes of a picture; `name` is what errors and notes call it."""
    if not data:
        raise InputError(Reason.BAD_INPUT, f"{name} is empty (0 bytes)")
    return _decode(data, name, None, max_pixels, on_note)


def _decode(data: bytes, name: str, path: Path | None, max_pixels: int, on_note: OnNote) -> UInt8Array:
    kind = kind_of(data)
    if kind is None:
        raise InputError(Reason.BAD_INPUT, f"{name} is not a picture of a known format, or damaged; {_IMAGE_HINT}")
    if kind.name in HEADER_READERS:
        header = _header(kind.name, data, name)
        pictures = _pictures(header, _reduction(kind.name, header, name, max_pixels), name, max_pixels)
    elif kind.name in _BY_PILLOW:
        if kind.name == "HEIC" and not _has_heif():
            install = "to have it read, from the checkout: pip install -e '.[heic]', or " if path else ""
            raise InputError(
                Reason.NOT_INSTALLED,
                f"{name} is of the kind HEIC, whatever its name says, and cannot be read here; "
                + install
                + how_to_convert(kind, path),
            )
        pictures = _by_pillow(data, kind.name, name, max_pixels)
    else:
        raise cannot_read(kind, "picture", name, path)
    with native_output_to_log(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of metadata and of sizes that our lower cap refuses
        rgb = _first_that_shows_something(pictures)
    if doubt := nothing_in(rgb):
        on_note(f"nothing can be seen in {name}: {doubt}")
    elif doubt := hardly_anything_in(rgb):
        on_note(f"little can be seen in {name}: {doubt}")
    return rgb


def _header(kind: str, data: bytes, name: str) -> PictureHeader:
    try:
        header = read_header(kind, data)
    except ValueError as error:
        raise InputError(Reason.CORRUPT, f"{name} has a damaged header ({error}); copy it again") from error
    if not header.is_complete:
        raise InputError(Reason.CORRUPT, f"{name} is cut short: its end is missing; copy it again")
    return header


def _reduction(kind: str, header: PictureHeader, name: str, max_pixels: int) -> int:
    """By what to divide the sides while decoding. Raises InputError(TOO_LARGE)."""
    # A progressive JPEG holds all its coefficients in memory, however small the picture that is made of them.
    for by in (1, 2, 4, 8) if kind == "JPEG" and not header.is_progressive else (1,):
        if -(-header.width // by) * -(-header.height // by) <= max_pixels:
            return by
    raise _too_large(name, header.width, header.height, max_pixels)


def _too_large(name: str, width: int, height: int, max_pixels: int) -> InputError:
    return InputError(
        Reason.TOO_LARGE, f"{name} is {width} x {height}, over the cap of {max_pixels:,} pixels; make it smaller"
    )


def _pictures(header: PictureHeader, reduce_by: int, name: str, max_pixels: int) -> Iterator[UInt8Array]:
    """What OpenCV decodes, upright, then the further pictures of an animation."""
    is_jpeg = header.decodable.startswith(b"\xff\xd8")
    flags = _REDUCED[reduce_by] | cv2.IMREAD_IGNORE_ORIENTATION if is_jpeg else cv2.IMREAD_UNCHANGED
    try:
        decoded = cv2.imdecode(np.frombuffer(header.decodable, np.uint8), flags)
    except cv2.error as error:
        raise InputError(Reason.CORRUPT, f"{name} cannot be decoded ({error.err}); {_IMAGE_HINT}") from error
    if decoded is not None:
        yield _upright(to_rgb(np.asarray(decoded)), header.orientation)
        if header.animation:
            yield from _frames(header, max_pixels)
        return
    picture = next(_frames(header, max_pixels), None)  # Pillow decodes a few depths and compressions more
    if picture is None:
        raise InputError(Reason.CORRUPT, f"{name} is damaged or of a kind that cannot be decoded; {_IMAGE_HINT}")
    yield picture


def _frames(header: PictureHeader, max_pixels: int) -> Iterator[UInt8Array]:
    """What Pillow decodes of it, picture by picture, to the first that is damaged."""
    try:
        with _opened(header.animation or header.decodable, _OF_OPENCV) as image:
            for i in range(min(getattr(image, "n_frames", 1), MAX_FRAMES)):
                image.seek(i)
                if image.width * image.height > max_pixels:
                    return
                yield _upright(_by_channels(image), header.orientation)
    except _PILLOW_ERRORS:
        return


def _by_pillow(data: bytes, kind: str, name: str, max_pixels: int) -> Iterator[UInt8Array]:
    """The pictures of an AVIF or HEIC file, upright: Pillow gives what their boxes say as an orientation of EXIF."""
    try:
        with _opened(data, _OF_PILLOW) as image:
            if image.width * image.height > max_pixels:
                raise _too_large(name, image.width, image.height, max_pixels)
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
            for i in range(min(getattr(image, "n_frames", 1), MAX_FRAMES)):
                image.seek(i)
                yield _upright(_by_channels(image), orientation)
    except _PILLOW_ERRORS as error:
        raise InputError(
            Reason.CORRUPT,
            f"{name} is of the kind {kind}, whatever its name says, and damaged or cut short; copy it again",
        ) from error


# What Pillow's parsers raise on damaged bytes.
_PILLOW_ERRORS = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    RuntimeError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
)


def _opened(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=formats)


def _by_channels(image: Image.Image) -> UInt8Array:
    """A Pillow picture as RGB, by the same rules as OpenCV's."""
    if image.mode in ("I;16", "I;16B", "I", "F"):
        return to_rgb(np.asarray(image))
    has_alpha = "A" in image.mode or "transparency" in image.info
    channels: NDArray[Any] = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    return to_rgb(channels[:, :, [2, 1, 0, 3][: channels.shape[2]]])


def _has_heif() -> bool:
    """Whether Pillow can open HEIC: pillow-heif is installed, and registered with it."""
    try:
        import pillow_heif  # noqa: PLC0415  # an extra
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _first_that_shows_something(pictures: Iterator[UInt8Array]) -> UInt8Array:
    first = next(pictures)
    if nothing_in(first) is None:
        return first
    return next((later for later in pictures if nothing_in(later) is None), first)


def _upright(rgb: UInt8Array, orientation: int) -> UInt8Array:
    turn = _TURNS.get(orientation)
    return np.ascontiguousarray(turn(rgb)) if turn else rgb

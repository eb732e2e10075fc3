"""The size and the orientation of a picture, read from its header without decoding it.

Own readers for the kinds that OpenCV decodes: a decoder's opinion of comments, colour profiles and other metadata is
then asked of nobody, and no metadata is unpacked. Each is a pure function of the bytes. Formats: ITU T.81 (JPEG), the
PNG, WebP, GIF89a and TIFF 6.0 specifications, Netpbm's manual pages.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT = 0x0100, 0x0101
_MAX_IFD_ENTRIES = 4096
# JPEG's start-of-frame markers; DHT, JPG and DAC lie among their numbers.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOF_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
# What decides the pixels of a PNG; of the rest nothing is needed, and libpng complains of much of it on stderr.
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_ANIMATION = (b"acTL", b"fcTL", b"fdAT")


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a header says. `orientation` is EXIF's value, 1..8, where 1 is upright as stored.

    `is_complete` is False where the end of the file is known to be missing. `decodable`: the bytes for the decoder,
    without what it must not see: metadata of a PNG, and an orientation that it would apply itself. `animation`: the
    bytes with all pictures of an animation, b"" for a still. OpenCV never gets those of a PNG: 5.0.0 reads foreign
    memory in damaged ones.
    """

    width: int
    height: int
    decodable: bytes
    orientation: int = 1
    is_progressive: bool = False
    animation: bytes = b""
    is_complete: bool = True


def read_header(kind: str, data: bytes) -> PictureHeader:
    """The header of a picture of `kind`, a key of HEADER_READERS. Raises ValueError where it is broken."""
    try:
        header = HEADER_READERS[kind](data)
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError("it ends within its header") from error
    if header.width <= 0 or header.height <= 0:
        raise ValueError(f"it says {header.width} x {header.height} pixels")
    return header


def exif_orientation(exif: bytes) -> int:
    """The orientation that an EXIF block says, 1 where it says none or is broken."""
    tiff = exif.removeprefix(b"Exif\0\0")
    try:
        at, value = _ifd_values(tiff).get(_ORIENTATION, (0, 1))
    except (struct.error, ValueError):
        return 1
    return value if at and 1 <= value <= 8 else 1


def _ifd_values(tiff: bytes) -> dict[int, tuple[int, int]]:
    """The first directory of a TIFF: tag -> (where its value stands, the value), for whole numbers that fit into it."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        raise ValueError("no TIFF header")
    (version,) = struct.unpack_from(order + "H", tiff, 2)
    is_big = version == 43
    (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), tiff, 8 if is_big else 4)
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), tiff, at)
    at += 8 if is_big else 2
    found = {}
    for _ in range(min(count, _MAX_IFD_ENTRIES)):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if is_big else "HHI"), tiff, at)
        value_at = at + (12 if is_big else 8)
        letter = {1: "B", 3: "H", 4: "I", 16: "Q" if is_big else ""}.get(kind)  # BYTE, SHORT, LONG, LONG8
        if letter and number == 1:
            found[tag] = (value_at, struct.unpack_from(order + letter, tiff, value_at)[0])
        at += 20 if is_big else 12
    return found


def _jpeg(data: bytes) -> PictureHeader:
    orientation, at = 1, 2
    while True:
        while data[at] != 0xFF:  # stray bytes between segments
            at += 1
        while data[at] == 0xFF:  # a marker may be filled up
            at += 1
        marker = data[at]
        if marker in (0xD8, 0x01) or 0xD0 <= marker <= 0xD7:  # stand alone
            at += 1
            continue
        if marker in (0xD9, 0xDA):
            raise ValueError("it has no frame header")
        (length,) = struct.unpack_from(">H", data, at + 1)
        body = data[at + 3 : at + 1 + length]
        if marker == 0xE1 and body.startswith(b"Exif\0\0") and orientation == 1:
            orientation = exif_orientation(body)
        elif marker in _SOF:
            height, width = struct.unpack_from(">HH", body, 1)
            orientation = orientation if orientation != 1 else _later_orientation(data, at + 1 + length)
            return PictureHeader(
                width,
                height,
                data,
                orientation,
                is_progressive=marker in _SOF_PROGRESSIVE,
                is_complete=data.find(b"\xff\xd9", at) >= 0,  # T.81 B.1.1.5: coded data never contains the end marker
            )
        at += 1 + length


def _later_orientation(data: bytes, at: int) -> int:
    """EXIF between a JPEG's frame header and its scan, where few programs write it."""
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xD9, 0xDA):
        (length,) = struct.unpack_from(">H", data, at + 2)
        if data[at + 1] == 0xE1 and data.startswith(b"Exif\0\0", at + 4):
            return exif_orientation(data[at + 4 : at + 2 + length])
        at += 2 + length
    return 1


def _png(data: bytes) -> PictureHeader:
    if data[12:16] != b"IHDR":
        raise ValueError("it does not begin with its header")
    width, height = struct.unpack_from(">II", data, 16)
    header = PictureHeader(width, height, data, is_complete=False)
    kept, animation, is_animated = [data[:8]], [data[:8]], False
    for name, at, end in _png_chunks(data):
        if name == b"eXIf":
            header = replace(header, orientation=exif_orientation(data[at + 8 : end - 4]))
        is_animated = is_animated or name == b"acTL"
        header = replace(header, is_complete=header.is_complete or name == b"IEND")
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        if name in _PNG_KEPT or name in _PNG_ANIMATION:
            animation.append(data[at:end])
    return replace(header, decodable=b"".join(kept), animation=b"".join(animation) if is_animated else b"")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each whole chunk, to the last one."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            return
        yield data[at + 4 : at + 8], at, at + 12 + length
        if data[at + 4 : at + 8] == b"IEND":
            return
        at += 12 + length


def _webp(data: bytes) -> PictureHeader:
    at, width, height, orientation, is_animated = 12, 0, 0, 1, False
    while at + 8 <= len(data):
        name, (length,) = data[at : at + 4], struct.unpack_from("<I", data, at + 4)
        body = at + 8
        if name == b"VP8X":
            is_animated = bool(data[body] & 2)
            width = 1 + int.from_bytes(data[body + 4 : body + 7], "little")
            height = 1 + int.from_bytes(data[body + 7 : body + 10], "little")
        elif name == b"VP8 " and not width:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, body + 6))
        elif name == b"VP8L" and not width:
            (bits,) = struct.unpack_from("<I", data, body + 1)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif name == b"EXIF":
            orientation = exif_orientation(data[body : body + length])
        at = body + length + length % 2
    return PictureHeader(width, height, data, orientation, animation=data if is_animated else b"")


def _gif(data: bytes) -> PictureHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureHeader(width, height, data, animation=data)  # only its frames tell, and most have several


def _bmp(data: bytes) -> PictureHeader:
    if data[14] == 12:
        return PictureHeader(*struct.unpack_from("<HH", data, 18), data)
    width, height = struct.unpack_from("<ii", data, 18)
    return PictureHeader(width, abs(height), data)  # a negative height: rows from the top


def _tiff(data: bytes) -> PictureHeader:
    values = _ifd_values(data)
    if _WIDTH not in values or _HEIGHT not in values:
        raise ValueError("its first directory names no size")
    at, orientation = values.get(_ORIENTATION, (0, 1))
    decodable = data
    if at and orientation != 1:  # OpenCV always applies this one, so it is taken away from it
        upright = struct.pack("<H" if data.startswith(b"II") else ">H", 1)
        decodable = data[:at] + upright + data[at + 2 :]
    orientation = orientation if 1 <= orientation <= 8 else 1
    return PictureHeader(values[_WIDTH][1], values[_HEIGHT][1], decodable, orientation)


def _pnm(data: bytes) -> PictureHeader:
    head = re.sub(rb"#[^\n]*", b"", data[:4096])
    if head.startswith(b"P7"):
        sides = [re.search(rb"\b%s\s+(\d{1,9})" % word, head) for word in (b"WIDTH", b"HEIGHT")]
        if not all(sides):
            raise ValueError("its header names no size")
        width, height = (int(side[1]) for side in sides if side)
        return PictureHeader(width, height, data)
    found = re.match(rb"P[1-6fF]\s+(\d{1,9})\s+(\d{1,9})\s", head)
    if not found:
        raise ValueError("its header names no size")
    return PictureHeader(int(found[1]), int(found[2]), data)


HEADER_READERS: dict[str, Callable[[bytes], PictureHeader]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WebP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
    "PPM": _pnm,
}

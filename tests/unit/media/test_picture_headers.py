"""Sizes and orientations from headers, of every kind that is read, whole and damaged."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glasses.media.picture_headers import HEADER_READERS, exif_orientation, read_header

PILLOW = {"JPEG": "JPEG", "PNG": "PNG", "WebP": "WEBP", "GIF": "GIF", "BMP": "BMP", "TIFF": "TIFF", "PPM": "PPM"}


def encoded(kind: str, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, PILLOW[kind], **options)
    return out.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", HEADER_READERS)
def test_read_header_gives_the_size(kind: str) -> None:
    header = read_header(kind, encoded(kind))
    assert (header.width, header.height, header.orientation, header.is_complete) == (64, 48, 1, True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_read_header_gives_the_orientation(kind: str, orientation: int) -> None:
    assert read_header(kind, encoded(kind, exif=turned(orientation))).orientation == orientation


def test_read_header_png_keeps_nothing_but_the_picture() -> None:
    png = encoded("PNG", exif=turned(6), icc_profile=b"x" * 5000, dpi=(72, 72))
    kept = read_header("PNG", png).decodable
    assert len(kept) < len(png) - 100
    assert not any(name in kept for name in (b"iCCP", b"pHYs", b"eXIf"))
    with Image.open(io.BytesIO(kept)) as image:
        image.load()


def test_read_header_tiff_hides_its_orientation_from_the_decoder() -> None:
    header = read_header("TIFF", encoded("TIFF", exif=turned(6)))
    assert header.orientation == 6
    assert read_header("TIFF", header.decodable).orientation == 1


@pytest.mark.parametrize("lossless", [True, False])
def test_read_header_webp_of_all_layouts_gives_the_size(lossless: bool) -> None:
    assert read_header("WebP", encoded("WebP", lossless=lossless)).width == 64
    assert read_header("WebP", encoded("WebP", lossless=lossless, exif=turned(3))).height == 48


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"II\x2a\0", b"MM\0\x2a\xff\xff\xff\xff", b"II\x2a\0\x08\0\0\0\xff\xff"]
)
def test_exif_orientation_broken_block_is_upright(exif: bytes) -> None:
    assert exif_orientation(exif) == 1


@pytest.mark.parametrize("kind", HEADER_READERS)
def test_read_header_damaged_bytes_give_a_header_or_a_value_error(kind: str) -> None:
    rng, good = np.random.default_rng(1), encoded(kind)
    for _ in range(300):
        data = bytearray(good[: int(rng.integers(1, 400))])
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        try:
            header = read_header(kind, bytes(data))
        except ValueError:
            continue
        assert header.width > 0

"""Picture files of every kind a user may give, good and bad, as real files."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from glasses.errors import InputError, Reason
from glasses.media import pictures


def refused(call: object, reason: Reason, *words: str) -> None:
    assert callable(call)
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.reason is reason
    for word in words:
        assert word in str(caught.value)


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Red above left, green above right, blue below left, white below right."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2, 0] = 255
    rgb[: height // 2, width // 2 :, 1] = 255
    rgb[height // 2 :, : width // 2, 2] = 255
    rgb[height // 2 :, width // 2 :] = 255
    return Image.fromarray(rgb)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif", "a.ppm"])
def test_read_image_any_format_becomes_rgb(tmp_path: Path, name: str) -> None:
    picture().save(tmp_path / name, quality=95)  # formats without a quality ignore it
    rgb = pictures.read_image(tmp_path / name)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.shape == (48, 64, 3)
    for y, x, colour in ((8, 8, (255, 0, 0)), (8, 56, (0, 255, 0)), (40, 8, (0, 0, 255)), (40, 56, (255, 255, 255))):
        np.testing.assert_allclose(rgb[y, x].astype(int), colour, atol=12)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16", "LA", "RGBA"])
def test_read_image_any_pixel_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    grey = picture().convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else picture().convert(mode)
    wide.save(tmp_path / name)
    rgb = pictures.read_image(tmp_path / name)
    assert rgb.shape == (48, 64, 3)
    np.testing.assert_allclose(rgb[40, 56].astype(int), 255, atol=12)


def test_read_image_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = picture().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.repeat(np.array([[255, 128, 0]], np.uint8), [16, 16, 32], axis=1).repeat(48, 0)))
    rgba.save(tmp_path / "a.png")
    rgb = pictures.read_image(tmp_path / "a.png")
    assert rgb[8, 8].tolist() == [255, 0, 0]
    assert rgb[8, 24].tolist() == [255, 127, 127]
    assert rgb[8, 56].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_read_image_exif_orientation_is_applied(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / name, exif=exif, quality=95)
    with Image.open(tmp_path / name) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB")).astype(int)
    rgb = pictures.read_image(tmp_path / name).astype(int)
    assert rgb.shape == upright.shape
    assert np.abs(rgb - upright).mean() < 2


def test_read_image_single_pixel_is_read(tmp_path: Path) -> None:
    picture(2, 2).crop((0, 0, 1, 1)).save(tmp_path / "a.png")
    assert pictures.read_image(tmp_path / "a.png").tolist() == [[[255, 0, 0]]]


def test_read_image_100_megapixel_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (10_000, 10_000), (10, 200, 30)).save(tmp_path / "a.jpg")
    rgb = pictures.read_image(tmp_path / "a.jpg")
    assert rgb.shape == (5_000, 5_000, 3)
    np.testing.assert_allclose(rgb[0, 0].astype(int), (10, 200, 30), atol=4)


def test_read_image_reduction_keeps_orientation_and_colours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise
    picture(640, 480).save(tmp_path / "a.jpg", exif=exif, quality=95)
    rgb = pictures.read_image(tmp_path / "a.jpg", max_pixels=20_000)
    assert rgb.shape == (160, 120, 3)
    np.testing.assert_allclose(rgb[20, 20].astype(int), (0, 0, 255), atol=12)
    np.testing.assert_allclose(rgb[20, 100].astype(int), (255, 0, 0), atol=12)


def test_read_image_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    picture(640, 480).save(tmp_path / "a.png")
    refused(lambda: pictures.read_image(tmp_path / "a.png", max_pixels=1000), Reason.TOO_LARGE, "640 x 480", "1,000")
    picture(640, 480).save(tmp_path / "p.jpg", progressive=True)
    refused(lambda: pictures.read_image(tmp_path / "p.jpg", max_pixels=20_000), Reason.TOO_LARGE, "640 x 480")
    picture(640, 480).save(tmp_path / "a.jpg")
    refused(lambda: pictures.read_image(tmp_path / "a.jpg", max_pixels=1000), Reason.TOO_LARGE, "640 x 480")


@pytest.mark.parametrize("side", [20_000, 60_000, 2_000_000_000])
def test_read_image_header_that_claims_a_huge_size_is_refused(tmp_path: Path, side: int) -> None:
    body = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    header = struct.pack(">I", len(body)) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    data = zlib.compress(bytes(1000))
    idat = struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + idat + end)
    refused(lambda: pictures.read_image(tmp_path / "a.png"), Reason.TOO_LARGE, "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "p.jpg", "a.webp", "a.gif", "a.bmp", "a.tiff"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_read_image_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    thumbnail = Image.Exif()
    thumbnail[0x010F] = "camera \xff\xd9".encode("latin-1")  # an end marker that is not the picture's
    extra = {"exif": thumbnail, "progressive": name[0] == "p"} if name.endswith("jpg") else {}
    Image.fromarray(noise).save(tmp_path / name, **extra)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    refused(lambda: pictures.read_image(tmp_path / name), Reason.CORRUPT, name)


def test_read_image_bytes_after_a_jpeg_are_ignored(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as out:
        out.write(b"\x00" * 100 + b"a film of the same moment, as phones append it")
    assert pictures.read_image(tmp_path / "a.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.tiff"])
def test_read_image_damaged_file_is_read_or_refused_as_input_error(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(2)
    picture().save(tmp_path / name)
    good = (tmp_path / name).read_bytes()
    for _ in range(30):
        data = bytearray(good)
        for at in rng.integers(0, min(len(data), 300), 3):
            data[at] = rng.integers(256)
        try:
            rgb = pictures.decode_image(bytes(data), name)
        except InputError:
            continue
        assert rgb.ndim == 3


def test_read_image_damaged_animation_of_png_ends_no_process() -> None:
    """OpenCV 5.0.0 reads foreign memory in some of these."""
    frames = [Image.new("RGBA", (32, 24)), picture(32, 24).convert("RGBA")]
    out = io.BytesIO()
    frames[0].save(out, "PNG", save_all=True, append_images=frames[1:])
    good, rng = out.getvalue(), np.random.default_rng(4)
    for _ in range(300):
        data = bytearray(good)
        for at in rng.integers(33, len(data), 3):
            data[at] = rng.integers(256)
        try:
            pictures.decode_image(bytes(data), "a.png", on_note=lambda note: None)
        except InputError:
            continue

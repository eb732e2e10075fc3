"""Writes the firmware's generated headers: font, test photograph, protocol hash, signing key. Run by the Makefile."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from firmware_bridge.protocol import HASH

CELL = (6, 11)  # of Pillow's built-in bitmap font


def c_bytes(data: bytes) -> str:
    """The inside of a C initialiser."""
    return "{" + ", ".join(f"0x{byte:02x}" for byte in data) + "}"


def font() -> str:
    """Printable ASCII as rows of bits, first pixel in the top bit."""
    bitmap_font = ImageFont.load_default_imagefont()
    glyphs = []
    for code in range(32, 127):
        cell = Image.new("L", CELL)
        ImageDraw.Draw(cell).text((0, 0), chr(code), fill=255, font=bitmap_font)
        bits = np.packbits(np.asarray(cell) > 127, axis=1)[:, 0]
        glyphs.append(c_bytes(bits.tobytes()))
    size = f"#define FONT_WIDTH {CELL[0]}\n#define FONT_HEIGHT {CELL[1]}\n"
    rows = ",\n".join(glyphs)
    return f"{size}static const unsigned char font_rows[95][FONT_HEIGHT] = {{\n{rows}}};\n"


def photo() -> bytes:
    """A JPEG of 640 x 480, about 60 KB: smooth colours with noise, the same at every build."""
    y, x = np.mgrid[0:480, 0:640]
    noise = np.random.default_rng(0).integers(0, 40, (480, 640))
    rgb = np.stack([(x // 3 + noise) % 256, (y // 2 + noise) % 256, ((x + y) // 5 + noise) % 256], axis=-1)
    out = io.BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).save(out, "JPEG", quality=64)
    return out.getvalue()


def main(build: Path) -> None:
    """Writes font.h, photo.jpg, photo.h and protocol_hash.h into the build folder."""
    jpeg = photo()
    (build / "photo.jpg").write_bytes(jpeg)
    photo_c = (
        f"#define PHOTO_BYTES {len(jpeg)}\nstatic const unsigned char photo_jpeg[PHOTO_BYTES] = {c_bytes(jpeg)};\n"
    )
    (build / "photo.h").write_text(photo_c)
    (build / "font.h").write_text(font())
    (build / "protocol_hash.h").write_text(f"#define PROTOCOL_HASH {c_bytes(HASH)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

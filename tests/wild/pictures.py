"""Pictures that the wild cases are made of, all from one penguin, and what comes of them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from glasses.assistant.answer import ask
from glasses.errors import GlassesError
from glasses.media.pictures import decode_image
from glasses.runtime.given import what_shows_something
from tests.wild.world import PENGUIN, bundle, command, in_process, refusal

SIZE = (427, 240)


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


EXIF_6 = _exif(6)  # to be turned 90 degrees clockwise. Bytes: saving an AVIF takes the value out of an Exif object


def penguin(size: tuple[int, int] = SIZE) -> Image.Image:
    return Image.open(PENGUIN).convert("RGB").resize(size)


def lying(mode: str = "RGB") -> Image.Image:
    """The penguin as a camera that is held upright stores it."""
    return penguin().transpose(Image.Transpose.ROTATE_90).convert(mode)


def file(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def array(values: np.ndarray, kind: str = "PNG") -> bytes:
    return file(Image.fromarray(values), kind)


def grey() -> np.ndarray:
    return np.asarray(penguin().convert("L"))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(name: bytes, body: bytes, count: int = 1) -> bytes:
    """A PNG of the penguin with more metadata after its header."""
    png = file(penguin((160, 120)), "PNG")
    return png[:33] + chunk(name, body) * count + png[33:]


def alpha(values: np.ndarray | int) -> Image.Image:
    image = penguin().convert("RGBA")
    image.putalpha(Image.fromarray(np.broadcast_to(np.uint8(values), SIZE[::-1]).copy()))
    return image


def animation(kind: str) -> bytes:
    empty = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    later = penguin().convert("RGBA")
    return file(empty, kind, save_all=True, append_images=[later], duration=100)


def heif(image: Image.Image, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    return file(image, "HEIF", quality=-1, chroma=444, **options)


def seen(data: bytes) -> str:
    """Notes and the answer to what is in view; a refusal is what came."""
    notes: list[str] = []
    try:
        rgb = decode_image(data, "the picture", on_note=notes.append)
    except GlassesError as error:
        return refusal(error)
    kept, reply = what_shows_something([rgb])
    return " | ".join([*notes, reply or ask(bundle(), *kept, "What is in view?")])


def sees(make: Callable[[], bytes]) -> Callable[[Path], str]:
    return lambda _folder: seen(make())


def asked(make: Callable[[], bytes], name: str) -> Callable[[Path], str]:
    """The same through the command line, as a file with this name."""

    def came(folder: Path) -> str:
        (folder / name).write_bytes(make())
        return in_process("ask", "--image", folder / name, "What is in view?")

    return came


def printed(make: Callable[[], bytes]) -> Callable[[Path], str]:
    """What reading it prints on the process's own stderr, below Python."""

    def came(folder: Path) -> str:
        data = make()
        kept = os.dup(2)
        with (folder / "stderr").open("wb+") as stderr:
            os.dup2(stderr.fileno(), 2)
            try:
                came_of_it = seen(data)
            finally:
                os.dup2(kept, 2)
                os.close(kept)
            stderr.seek(0)
            return f"printed: {stderr.read().decode(errors='replace')} | {came_of_it}"

    return came


def terminal(make: Callable[[], bytes], name: str) -> Callable[[Path], str]:
    """Everything that a process of its own prints for it."""

    def came(folder: Path) -> str:
        (folder / name).write_bytes(make())
        return command("glasses", "ask", "--image", folder / name, "What is in view?")

    return came


def damaged_jpeg() -> bytes:
    data = bytearray(file(penguin(), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 3] = b"\xff\xd5\x00"
    return bytes(data)


def noise() -> Image.Image:
    """What a sensor sees under its cap: dark, with noise."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 12, (480, 640, 3), np.uint8))


def packed(n_bytes: int) -> bytes:
    """Zeros, compressed: what metadata is made of that unpacks to far more."""
    return zlib.compress(bytes(n_bytes), 9)

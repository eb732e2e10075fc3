"""What the fuzzers found (tests/fuzz): the smallest input of each fault."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from glasses.errors import GlassesError
from glasses.media.pictures import decode_image
from glasses.model_store.manifests import read_manifest
from tests.wild.case import Case

_GIF = "47494638376118001000440000002c0000000018001000400000001f000000cf00000000000000ffd800cf000000000000ffd8ffe00044"


def _said(read: Callable[[], object]) -> str:
    try:
        return f"a value: {read()!r:.60}"
    except GlassesError as error:
        return f"refused: {error}"


def _gif(_: Path) -> str:
    """A second frame that ends within its header: Pillow raises what the module struct raises."""
    return _said(lambda: decode_image(bytes.fromhex(f"{_GIF}0000002c0000"), "PICTURE"))


def _gguf(folder: Path) -> str:
    """An array of 2 ** 60 numbers in 60 bytes: the package gguf counts them."""
    from quantize.backbone import check  # noqa: PLC0415  # needs gguf

    key = struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 5, 1 << 60)
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key)
    return _said(lambda: check(path))


def _manifest(folder: Path) -> str:
    """A number of 5,000 digits, which Python refuses to read with an error of its own."""
    path = folder / "one.toml"
    path.write_text(f"name = {'9' * 5000}")
    return _said(lambda: read_manifest(path, "one"))


CASES = [
    Case(12, "gif-cut-in-the-second-frame", "^refused: PICTURE|^a value", _gif),
    Case(13, "gguf-endless-array", "^refused: .*array of 1,152,921,504,606,846,976|past its end", _gguf),
    Case(14, "manifest-number-of-thousands-of-digits", "^refused: .*is not TOML", _manifest),
]

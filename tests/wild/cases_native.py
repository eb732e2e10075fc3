"""Libraries below Python that talk to the wearer: what is printed on file descriptor 2."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import soundfile
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage

from glasses.audio.sound_files import decode_audio
from glasses.backbone.grammar import Grammar
from glasses.errors import GlassesError
from glasses.recording import entries
from glasses.types import SAMPLE_RATE_HZ
from tests.wild.case import Case
from tests.wild.world import bundle


def _printed(action: Callable[[], object]) -> Callable[[Path], str]:
    """What an action prints on the process's own stderr, below Python, and logs as more than DEBUG."""

    def came(folder: Path) -> str:
        kept, logged = os.dup(2), io.StringIO()
        handler = logging.StreamHandler(logged)
        handler.setLevel(logging.INFO)
        logging.getLogger("glasses").addHandler(handler)
        with (folder / "stderr").open("wb+") as stderr:
            os.dup2(stderr.fileno(), 2)
            try:
                action()
            except GlassesError as error:
                logged.write(f"refused: {error}")
            finally:
                os.dup2(kept, 2)
                os.close(kept)
                logging.getLogger("glasses").removeHandler(handler)
            stderr.seek(0)
            return f"printed: {stderr.read().decode(errors='replace')} | logged: {logged.getvalue()}"

    return came


def _mp3(damage: Callable[[bytearray], None]) -> bytes:
    noise = (0.1 * np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE_HZ)).astype(np.float32)
    out = io.BytesIO()
    soundfile.write(out, noise, SAMPLE_RATE_HZ, format="MP3")
    data = bytearray(out.getvalue())
    damage(data)
    return bytes(data)


def _cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


def _scratched(data: bytearray) -> None:
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)


def _read(data: bytes) -> object:
    return decode_audio(data, "the sound", on_note=lambda note: None)


def _cancel() -> None:
    """A turn that is cancelled as its prompt is read."""
    backbone = bundle().backbone
    backbone.rollback(bundle().n_prefix)
    backbone.abort()
    try:
        backbone.feed([backbone.tokenize("What is the capital of France?")])
    finally:
        backbone.clear_abort()


def _grammar() -> object:
    """One that llama.cpp cannot read: it prints all of it."""
    return Grammar(bundle().backbone.vocabulary, 'root ::= "a" other\nbeside ::= "b"\n')


def _recorded_picture() -> object:
    """A JPEG in a recording, with bytes of nothing before one of its markers."""
    jpeg = cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes()
    at = jpeg.rindex(b"\xff\xda")
    message = CompressedImage(data=jpeg[:at] + bytes(9) + jpeg[at:], format="jpeg")
    return entries.decode("/camera", message.SerializeToString())


CASES = [
    Case(24, "mpg123-xing", r"^printed:  \| logged: $", _printed(lambda: _read(_mp3(_cut))), True),
    Case(24, "mpg123-scratched", r"^printed:  \| logged: $", _printed(lambda: _read(_mp3(_scratched)))),
    Case(24, "llama-cancel", r"^printed:  \| logged: refused: aborted by another thread$", _printed(_cancel), True),
    Case(24, "jpeg-in-a-recording", r"^printed:  \| logged: $", _printed(_recorded_picture)),
    Case(
        24,
        "llama-grammar",
        r"^printed:  \| logged: refused: llama.cpp cannot use the grammar: failed to parse",
        _printed(_grammar),
    ),
]

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from glasses.assistant.view_encoder import ViewEncoder
from glasses.errors import ModelError, Reason
from glasses.media.view_quality import BLACK
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Frame, Latents, UInt8Array

FRAME = Frame(5, 0, np.zeros((4, 4, 3), np.uint8))


def latents(modality: str, n: int, t_ns: int) -> Latents:
    return Latents(t_ns, 0, modality, np.zeros((n, 2), np.float32), "space")


class Text:
    """Reads so many letters, once it may."""

    def __init__(self, n: int) -> None:
        self.n, self.may_read = n, threading.Event()

    def encode(self, rgb: UInt8Array, t_ns: int) -> Latents:
        assert self.may_read.wait(10)
        if self.n < 0:
            raise ModelError(Reason.CORRUPT, "a broken recognizer")
        return latents("text", self.n, t_ns)


def views(text: Text | None, n_things: int | None = None) -> ViewEncoder:
    def encoder(modality: str, n: int) -> SimpleNamespace:
        return SimpleNamespace(encode=lambda rgb, t_ns: latents(modality, n, t_ns))

    things = None if n_things is None else encoder("things", n_things)
    given = {"things": things, "image": encoder("image", 49), "text": text}
    encoders = {name: one for name, one in given.items() if one}
    loaded = SimpleNamespace(image_encoder=encoders["image"], picture_encoders=encoders)
    return ViewEncoder(cast(LoadedBundle, loaded))


def test_view_encoder_reads_text_while_others_go_on() -> None:
    text = Text(3)
    view = views(text).encode(FRAME)
    assert [one.t_ns for one in view.latents(0.0)] == [5]
    assert [one.modality for one in view.latents(0.0)] == ["image"], "the next draft has it"
    text.may_read.set()
    assert [one.modality for one in view.latents()] == ["image", "text"]


def test_view_encoder_without_text_gives_the_picture_alone() -> None:
    text = Text(0)
    text.may_read.set()
    for reader in (text, None):
        assert [one.modality for one in views(reader).encode(FRAME).latents()] == ["image"]


def test_view_encoder_whose_recognizer_fails_says_so_where_the_latents_are_asked_for() -> None:
    text = Text(-1)
    text.may_read.set()
    with pytest.raises(ModelError, match="broken recognizer"):
        views(text).encode(FRAME).latents()


def test_view_encoder_gives_things_before_the_view_where_there_are_any() -> None:
    text = Text(3)
    text.may_read.set()
    for n_things, expected in ((2, ["things", "image", "text"]), (0, ["image", "text"])):
        assert [one.modality for one in views(text, n_things).encode(FRAME).latents()] == expected


def test_view_encoder_says_why_nothing_can_be_made_out() -> None:
    dark = Frame(5, 0, np.zeros((48, 64, 3), np.uint8))
    seen = Frame(5, 0, np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    assert [views(None).encode(one).unseen for one in (dark, seen)] == [BLACK, ""]

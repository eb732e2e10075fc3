"""Pictures and sounds of a request as latents, on the engine's thread, a slice of work at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from glasses.audio.pauses import without_long_pauses
from glasses.audio.sound_files import decode_audio
from glasses.audio.vad import Vad
from glasses.encoders.audio import windows
from glasses.errors import InputError
from glasses.media.pictures import decode_image
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle
from glasses.service.server.openai.asked import Media
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service
from glasses.types import SAMPLE_RATE_HZ, Float32Array, Latents

MAX_SOUND_S = 120.0
# What the readers advise those who have the file and this checkout: commands. A client of the API has neither.
_COMMANDS = "djxl|ffmpeg|gs|heif-convert|magick|pdftoppm|timidity"
_ON_THIS_MACHINE = re.compile(rf"to have it read, from the checkout: .*?, or |: (?:{_COMMANDS})\b.*?(?=, or |; |$)")


class Heard(NamedTuple):
    """What was said in a sound, as text, and how long the sound is."""

    text: str
    duration_s: float


async def latents_of(service: Service, key: str, media: Media) -> list[Latents]:
    """The latents of a picture, or of each window of a sound; `key` is for whom the worker works. Raises FieldError,
    which names the place in the request, and RemoteError(BUSY).
    """
    host, name = service.host, media.where
    with _named(name):
        if media.kind == "picture":
            rgb = await host.run(key, lambda: decode_image(media.data, name))
            return [await host.run(key, lambda: host.loaded.image_encoder.encode(rgb))]
        pcm = await host.run(key, lambda: decode_audio(media.data, name, max_s=MAX_SOUND_S))
        out: list[Latents] = []
        for window in await host.run(key, lambda: windows_of(pcm, host.loaded)):
            out += await host.run(key, lambda window=window: host.loaded.encode_audio(window))
        return out


async def heard_in(service: Service, key: str, media: Media) -> Heard:
    """The likeliest reading of a sound. Raises as `latents_of`."""
    host, name = service.host, media.where

    def text_of(window: Float32Array) -> str:
        return host.loaded.speech_connector.text(host.loaded.audio_encoder.encode(window))

    with _named(name):
        pcm = await host.run(key, lambda: decode_audio(media.data, name, max_s=MAX_SOUND_S))
        windows_ = await host.run(key, lambda: windows_of(pcm, host.loaded))
        texts = [await host.run(key, lambda window=window: text_of(window)) for window in windows_]
    return Heard(" ".join(text for text in texts if text), round(len(pcm) / SAMPLE_RATE_HZ, 2))


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Makes what is wrong with the data an error of the field `name`."""
    try:
        yield
    except InputError as error:
        message = _ON_THIS_MACHINE.sub("", str(error)).removeprefix(name).removeprefix(": ").strip()
        raise FieldError(name, message, code=str(error.reason), reason=error.reason) from error


def windows_of(pcm: Float32Array, loaded: LoadedBundle) -> list[Float32Array]:
    """A sound as windows of the encoder, without its long pauses, in which Whisper hears words that nobody said."""
    return windows(without_long_pauses(pcm, Vad(store.path_of(loaded.bundle.vad))))

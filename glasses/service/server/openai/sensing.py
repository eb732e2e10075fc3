"""Pictures and sounds of a request as latents.

They are decoded on a thread of their own, one at a time, so that a large file holds up no other client's tokens; they
are encoded on the engine's thread, a slice of work at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from glasses.audio.sound_files import decode_audio
from glasses.errors import InputError
from glasses.media.files import OnNote
from glasses.media.pictures import decode_image
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.given import why_empty, windows_of
from glasses.service.server.openai.asked import Media
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service
from glasses.types import SAMPLE_RATE_HZ, Float32Array, Latents

MAX_SOUND_S = 120.0
_T = TypeVar("_T")


class Sensed(NamedTuple):
    """The latents of a picture, or of each window of a sound. Where there is nothing in it there are none, and `empty`
    says why, as a sentence to who asked.
    """

    latents: list[Latents]
    empty: str = ""


class Heard(NamedTuple):
    """What was said in a sound, as text, and how long the sound is."""

    text: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class Sensing:
    """Senses for one request. `key` is for what the engine works, `client` whose share of its time that takes, `key`'s
    own where it is None. Notes of the readers go to `on_note`.
    """

    service: Service
    key: str
    client: str | None
    on_note: OnNote

    async def latents_of(self, media: Media) -> Sensed:
        """Raises FieldError, which names the place in the request, and RemoteError(BUSY)."""
        loaded = self.service.host.loaded
        with _named(media):
            decoded = await self._decoded(media)
            if decoded.empty:
                return Sensed([], decoded.empty)
            if media.kind == "picture":
                return Sensed(list(await self._run(lambda: loaded.encode_picture(decoded.pieces[0]))))
            out: list[Latents] = []
            for window in decoded.pieces:
                out += await self._run(lambda window=window: loaded.encode_audio(window))
        return Sensed(out)

    async def heard_in(self, media: Media) -> Heard:
        """The likeliest reading of a sound, "" of silence. Raises as `latents_of`."""
        loaded = self.service.host.loaded

        def text_of(window: Float32Array) -> str:
            return loaded.speech_connector.text(loaded.audio_encoder.encode(window))

        with _named(media):
            decoded = await self._decoded(media)
            texts = [await self._run(lambda window=window: text_of(window)) for window in decoded.pieces]
        return Heard(" ".join(text for text in texts if text), decoded.duration_s)

    async def _decoded(self, media: Media) -> _Decoded:
        """On the service's thread for this. Cancelled before its turn came, it is never begun."""
        decode = _picture if media.kind == "picture" else _sound
        loop, thread = asyncio.get_running_loop(), self.service.decoder
        return await loop.run_in_executor(thread, decode, media, self.service.host.loaded, self.on_note)

    async def _run(self, function: Callable[[], _T]) -> _T:
        return await self.service.host.run(self.key, function, client=self.client)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What an encoder takes: a picture, or the windows of a sound; nothing where it is `empty`."""

    pieces: list[Any]
    empty: str
    duration_s: float = 0.0


def _picture(media: Media, _: LoadedBundle, on_note: OnNote) -> _Decoded:
    rgb = decode_image(media.data, media.part, on_note=on_note)
    empty = why_empty(rgb) or ""
    return _Decoded([] if empty else [rgb], empty)


def _sound(media: Media, loaded: LoadedBundle, on_note: OnNote) -> _Decoded:
    pcm = decode_audio(media.data, media.part, max_s=MAX_SOUND_S, on_note=on_note)
    empty = why_empty(pcm) or ""
    if empty:
        on_note(f"{media.part} is silent")
    return _Decoded([] if empty else windows_of(loaded, pcm), empty, round(len(pcm) / SAMPLE_RATE_HZ, 2))


@contextmanager
def _named(media: Media) -> Iterator[None]:
    """Makes what is wrong with the data an error of its field."""
    try:
        yield
    except InputError as error:
        message = str(error).removeprefix(media.part).removeprefix(": ").strip()
        raise FieldError(media.where, message, code=str(error.reason), reason=error.reason) from error

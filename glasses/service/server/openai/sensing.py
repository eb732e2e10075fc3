"""Pictures and sounds of a request as latents, on the engine's thread, a slice of work at a time."""

from __future__ import annotations

from glasses.audio.sound_files import decode_audio
from glasses.encoders.audio import windows
from glasses.errors import InputError
from glasses.media.pictures import decode_image
from glasses.service.server.openai.asked import Media
from glasses.service.server.problems import FieldError
from glasses.service.server.service import Service
from glasses.types import Latents

MAX_SOUND_S = 120.0


async def latents_of(service: Service, key: str, media: Media) -> list[Latents]:
    """The latents of a picture, or of each window of a sound; `key` is for whom the worker works. Raises FieldError,
    which names the place in the request, and RemoteError(BUSY).
    """
    host, name = service.host, media.where
    try:
        if media.kind == "picture":
            rgb = await host.run(key, lambda: decode_image(media.data, name))
            return [await host.run(key, lambda: host.loaded.image_encoder.encode(rgb))]
        pcm = await host.run(key, lambda: decode_audio(media.data, name, max_s=MAX_SOUND_S))
        out: list[Latents] = []
        for window in windows(pcm):
            out += await host.run(key, lambda window=window: host.loaded.encode_audio(window))
        return out
    except InputError as error:
        message = str(error).removeprefix(name).removeprefix(": ").strip()
        raise FieldError(name, message, code=str(error.reason), reason=error.reason) from error

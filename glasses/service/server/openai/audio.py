"""POST /v1/audio/transcriptions and /v1/audio/speech: sound to text, text to sound.

A transcription is the likeliest reading of the speech connector, whose soft sub-words are what the backbone hears. It
exists for clients that ask for text; inside, nothing goes through it.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import AsyncIterator
from typing import Any, Literal, cast

import numpy as np
import soundfile
import soxr
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from glasses.decoders.clauses import clauses
from glasses.errors import GlassesError, InputError, Reason
from glasses.service.server.client_work import exit_stack
from glasses.service.server.clients import account_of
from glasses.service.server.http_app import read_body
from glasses.service.server.openai.asked import Media
from glasses.service.server.openai.fields import SPEECH, TRANSCRIPTIONS
from glasses.service.server.openai.reading import checked, shown, take
from glasses.service.server.openai.responding import MAX_BODY_BYTES, data, handled, noted
from glasses.service.server.openai.sensing import Heard, Sensing
from glasses.service.server.problems import FieldError, problem
from glasses.service.server.service import Service
from glasses.types import Float32Array

MAX_SPOKEN_CHARS = 4096  # OpenAI's
SPEECH_RATE_HZ = 24_000  # OpenAI's for pcm; one of those that Opus has
# Media type, and soundfile's format and subtype; None is samples alone.
WRITTEN_AS: dict[str, tuple[str, str | None, str]] = {
    "mp3": ("audio/mpeg", "MP3", "MPEG_LAYER_III"),
    "opus": ("audio/ogg", "OGG", "OPUS"),
    "flac": ("audio/flac", "FLAC", "PCM_16"),
    "wav": ("audio/wav", "WAV", "PCM_16"),
    "pcm": ("audio/pcm", None, "PCM_16"),
}
_TEXTS = ("json", "text", "verbose_json")


def transcriptions(service: Service) -> Any:
    """The route of transcriptions."""

    async def handle(request: Request) -> Response:
        try:
            values = checked(await _form(request), TRANSCRIPTIONS)
            shape = take(values, "response_format", str, "json")
            if shape not in _TEXTS:
                raise FieldError("response_format", f"one of {', '.join(_TEXTS)}, not {shown(shape)}")
            sound = values.get("file")
            if not isinstance(sound, bytes):
                raise FieldError("file", "a sound file is needed", code="missing_required_parameter")
            await exit_stack(request).enter_async_context(service.places.place(request.client))
            notes: list[str] = []
            sensing = Sensing(service, secrets.token_hex(8), account_of(request.client) or None, notes.append)
            heard = await sensing.heard_in(Media("sound", sound, "file", "file"))
            return _transcribed(heard, noted(notes), shape, str(values.get("stream")).lower() == "true")
        except GlassesError as error:
            return problem(error)

    return handle


def _transcribed(heard: Heard, notes: dict[str, Any], shape: str, stream: bool) -> Response:
    text, duration_s = heard
    if stream:
        parts = [
            {"type": "transcript.text.delta", "delta": text},
            {"type": "transcript.text.done", "text": text, **notes},
        ]

        async def events() -> AsyncIterator[str]:
            for part in parts:
                yield data(part)

        return StreamingResponse(events(), media_type="text/event-stream")
    if shape == "text":
        return PlainTextResponse(text + "\n")
    if shape == "json":
        return JSONResponse({"text": text, **notes})
    segment = {"id": 0, "start": 0.0, "end": duration_s, "text": text}
    about = {"task": "transcribe", "language": "english", "duration": duration_s, "text": text}
    return JSONResponse({**about, "segments": [segment] if text else [], **notes})


async def _form(request: Request) -> dict[str, Any]:
    """The fields of a multipart body; a file as its bytes, a field that came twice as a list. Raises InputError."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InputError(Reason.BAD_INPUT, "the body is no multipart/form-data, as curl -F file=@sound.wav sends it")
    body = await read_body(request, MAX_BODY_BYTES)

    async def stream() -> AsyncIterator[bytes]:
        yield body

    values: dict[str, Any] = {}
    try:
        form = await MultiPartParser(request.headers, cast(Any, stream()), max_files=4, max_fields=64).parse()
    except (MultiPartException, UnicodeDecodeError, KeyError, ValueError) as error:
        detail = error.message if isinstance(error, MultiPartException) else str(error)
        raise InputError(Reason.BAD_INPUT, f"the form cannot be read: {detail}") from error
    try:
        for name, value in form.multi_items():
            got = await value.read() if isinstance(value, UploadFile) else value
            if name.endswith("[]"):
                values.setdefault(name.removesuffix("[]"), []).append(got)
            else:
                values[name] = got
    finally:
        await form.close()
    return values


def speech(service: Service) -> Any:
    """The route of speech."""

    async def answer(request: Request, values: dict[str, Any]) -> Response:
        values = checked(values, SPEECH)
        text = take(values, "input", str, "")
        if not 0 < len(text) <= MAX_SPOKEN_CHARS:
            raise FieldError("input", f"1 to {MAX_SPOKEN_CHARS} characters, not {len(text)}")
        written_as = take(values, "response_format", str, "mp3")
        if written_as not in WRITTEN_AS:
            raise FieldError("response_format", f"one of {', '.join(WRITTEN_AS)}, not {shown(written_as)}")
        await exit_stack(request).enter_async_context(service.places.place(request.client))
        pcm = await _spoken(service, text, account_of(request.client) or None)
        return Response(_written(pcm, written_as), media_type=WRITTEN_AS[written_as][0])

    return handled(answer)


async def _spoken(service: Service, text: str, client: str | None) -> Float32Array:
    """The sound of a text at SPEECH_RATE_HZ; a clause is a slice of the worker's time, of `client`'s share."""
    host, key = service.host, secrets.token_hex(8)
    sounds = await host.run(key, lambda: host.voice().speak(clauses([text])), client=client)
    rate_hz = await host.run(key, lambda: host.voice().rate_hz, client=client)
    parts: list[Float32Array] = []
    while (part := await host.run(key, lambda: next(sounds, None), client=client)) is not None:
        parts.append(part)
    if not parts:
        raise FieldError("input", "there is nothing to read aloud in it")
    return soxr.resample(np.concatenate(parts), rate_hz, SPEECH_RATE_HZ)


def _written(pcm: Float32Array, written_as: Literal["mp3", "opus", "flac", "wav", "pcm"] | str) -> bytes:
    _, container, subtype = WRITTEN_AS[written_as]
    pcm = np.clip(pcm, -1.0, 1.0)
    if container is None:
        return (pcm * 32767).astype("<i2").tobytes()
    out = io.BytesIO()
    soundfile.write(out, pcm, SPEECH_RATE_HZ, format=container, subtype=subtype)
    return out.getvalue()

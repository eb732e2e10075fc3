"""OpenAI-compatible chat over the glasses' senses: any OpenAI client may send text, pictures and sound.

    POST /v1/chat/completions   messages of text, image_url (data: URLs) and input_audio (WAV, FLAC, OGG, MP3) parts
    GET  /v1/models             the bundle

Pictures and sounds go through our encoders and reach the backbone as latents. No URL is ever fetched.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from glasses.audio.media import read_audio, read_image
from glasses.backbone import prompt
from glasses.backbone.prompt_format import Role
from glasses.encoders.audio import windows
from glasses.errors import GlassesError, InputError, Reason
from glasses.service.client.client import Client, RemoteSession
from glasses.service.protocol import messages
from glasses.service.protocol.packing import Given
from glasses.service.server.http_app import problem, read_body
from glasses.service.server.in_process import InProcess
from glasses.service.server.service import Service
from glasses.types import Token

MAX_BODY_BYTES = 24 << 20
MAX_SOUND_S = 120.0


class ImageURL(Struct, frozen=True):
    """Only data:image/...;base64,... is taken."""

    url: str
    detail: str = "auto"


class InputAudio(Struct, frozen=True):
    """Base64 of a sound file."""

    data: str
    format: str


class TextPart(Struct, frozen=True, tag="text"):
    text: str


class ImagePart(Struct, frozen=True, tag="image_url"):
    image_url: ImageURL


class AudioPart(Struct, frozen=True, tag="input_audio"):
    input_audio: InputAudio


class Message(Struct, frozen=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart | ImagePart | AudioPart], Meta(max_length=messages.MAX_PARTS)]
    name: str | None = None


class StreamOptions(Struct, frozen=True):
    include_usage: bool = False


class ChatRequest(Struct, frozen=True):
    """What of OpenAI's request is used; other fields are ignored."""

    messages: Annotated[list[Message], Meta(min_length=1, max_length=64)]
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=10)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    def how(self) -> dict[str, Any]:
        n = self.max_completion_tokens or self.max_tokens or 128
        return {
            "max_tokens": min(n, messages.MAX_TOKENS),
            "temperature": self.temperature or 0.0,  # OpenAI's default is 1; a backbone of this size wanders there
            "top_p": self.top_p or 1.0,
            "seed": abs(self.seed or 0),
            "top_k": (self.top_logprobs or 0) if self.logprobs else 0,
        }


_decoder = msgspec.json.Decoder(ChatRequest)


def routes(service: Service) -> list[Route]:
    """The routes to be added to the service's application."""

    async def completions(request: Request) -> Response:
        try:
            asked = _decoder.decode(await read_body(request, MAX_BODY_BYTES))
        except msgspec.DecodeError as error:
            return problem(InputError(Reason.BAD_INPUT, f"the request cannot be used: {error}"))
        except GlassesError as error:
            return problem(error)
        return await _answer(service, asked)

    async def models(_: Request) -> Response:
        data = [{"id": service.models.bundle.name, "object": "model", "created": 0, "owned_by": "glasses"}]
        return JSONResponse({"object": "list", "data": data})

    return [Route("/v1/chat/completions", completions, methods=["POST"]), Route("/v1/models", models)]


async def _answer(service: Service, asked: ChatRequest) -> Response:
    client, session = Client(InProcess(service)), None
    await client.__aenter__()
    try:
        session = await client.open(chat=False)
        n_prompt = await _feed(service, session, asked)
        pieces = session.generate(**asked.how())
        first = await anext(pieces)  # what is wrong shows here, while there is still a status to send
    except BaseException as error:
        if session:
            await session.close()
        await client.__aexit__()
        if isinstance(error, GlassesError):
            return problem(error)
        raise
    stream = _pieces(client, session, first, pieces)
    about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": service.models.bundle.name}
    if asked.stream:
        return StreamingResponse(_chunks(stream, about, asked, n_prompt), media_type="text/event-stream")
    return JSONResponse(_whole([piece async for piece in stream], about, asked, n_prompt))


async def _pieces(
    client: Client, session: RemoteSession, first: Token, rest: AsyncIterator[Token]
) -> AsyncIterator[Token]:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await session.close()
        await client.__aexit__()


async def _feed(service: Service, session: RemoteSession, asked: ChatRequest) -> int:
    """Feeds the conversation in the backbone's chat format, with our system prompt where it has none; rows fed.

    Raises InputError(BAD_INPUT) for an order of roles that the format does not allow.
    """
    backbone, conversation = service.models.backbone, asked.messages
    if conversation[0].role not in ("system", "developer"):
        conversation = [Message("system", prompt.SYSTEM), *conversation]
    roles: list[Role] = ["system" if message.role == "developer" else message.role for message in conversation]
    frame = backbone.prompt_format.frame(roles)
    given: list[Given] = [backbone.tokenize(frame[0])]
    for message, text_after in zip(conversation, frame[1:], strict=True):
        for part in [TextPart(message.content)] if isinstance(message.content, str) else message.content:
            given += (
                [part.text]
                if isinstance(part, TextPart)
                else await service.run(session.id, lambda part=part: _sense(service, part))
            )
        given.append(backbone.tokenize(text_after))
    for i in range(0, len(given), messages.MAX_PARTS):
        await session.feed(*given[i : i + messages.MAX_PARTS])
    return session.n_past


def _sense(service: Service, part: ImagePart | AudioPart) -> list[Given]:
    """A picture or a sound as latents, on the worker's thread. Raises InputError."""
    models = service.models
    if isinstance(part, ImagePart):
        head, _, data = part.image_url.url.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            raise InputError(Reason.BAD_INPUT, "image_url must be data:image/...;base64,...: nothing is fetched here")
        picture = _with_file(data, ".img", read_image)
        return [models.image_encoder.encode(picture)]
    pcm = _with_file(part.input_audio.data, ".bin", lambda path: read_audio(path, max_s=MAX_SOUND_S))
    return [latents for window in windows(pcm) for latents in models.encode_audio(window)]


def _with_file(data: str, suffix: str, read: Callable[[Path], Any]) -> Any:
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(Reason.BAD_INPUT, f"not base64: {error}") from error
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:  # the readers check files, and only files
        file.write(raw)
        file.flush()
        return read(Path(file.name))


def _finish(last: Token, service_limit: int, made: int) -> str:
    return "length" if made >= service_limit else "stop"


def _logprobs(piece: Token) -> dict[str, Any]:
    top = [{"token": str(token), "logprob": logprob, "bytes": None} for token, logprob in piece.top]
    return {"token": piece.text, "logprob": piece.logprob, "bytes": list(piece.text.encode()), "top_logprobs": top}


def _usage(n_prompt: int, n_made: int) -> dict[str, int]:
    return {"prompt_tokens": n_prompt, "completion_tokens": n_made, "total_tokens": n_prompt + n_made}


def _whole(pieces: list[Token], about: dict[str, Any], asked: ChatRequest, n_prompt: int) -> dict[str, Any]:
    text = "".join(piece.text for piece in pieces)
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": _finish(pieces[-1], asked.how()["max_tokens"], len(pieces)),
        "logprobs": {"content": [_logprobs(piece) for piece in pieces]} if asked.logprobs else None,
    }
    return {**about, "object": "chat.completion", "choices": [choice], "usage": _usage(n_prompt, len(pieces))}


async def _chunks(
    pieces: AsyncIterator[Token], about: dict[str, Any], asked: ChatRequest, n_prompt: int
) -> AsyncIterator[str]:
    def event(delta: dict[str, str], finish: str | None = None, logprobs: Any = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return f"data: {json.dumps({**about, 'object': 'chat.completion.chunk', 'choices': [choice], **more})}\n\n"

    yield event({"role": "assistant", "content": ""})
    n_made = 0
    async for piece in pieces:
        n_made += 1
        if piece.text:
            yield event({"content": piece.text}, None, {"content": [_logprobs(piece)]} if asked.logprobs else None)
        if piece.last:
            yield event({}, _finish(piece, asked.how()["max_tokens"], n_made))
    if asked.stream_options and asked.stream_options.include_usage:
        usage = {**about, "object": "chat.completion.chunk", "choices": [], "usage": _usage(n_prompt, n_made)}
        yield f"data: {json.dumps(usage)}\n\n"
    yield "data: [DONE]\n\n"

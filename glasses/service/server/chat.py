"""OpenAI-compatible chat: any OpenAI client may send text, pictures and sound.

    POST /v1/chat/completions   messages of text, image_url (data: URLs) and input_audio (WAV, FLAC, OGG, MP3) parts
    GET  /v1/models             the bundle

Pictures and sounds go through the bundle's encoders and reach the backbone as latents. No URL is fetched.
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

from glasses.audio.sound_files import read_audio
from glasses.backbone import prompt
from glasses.backbone.prompt_format import Role
from glasses.encoders.audio import windows
from glasses.errors import GlassesError, InputError, Reason
from glasses.media.pictures import read_image
from glasses.service.client.client import RemoteSession
from glasses.service.protocol import messages
from glasses.service.protocol.packing import Input
from glasses.service.server.client_work import client_for
from glasses.service.server.http_app import problem, read_body
from glasses.service.server.service import Service
from glasses.types import Token

MAX_BODY_BYTES = 24 << 20
MAX_SOUND_S = 120.0


class ImageURL(Struct, frozen=True):
    """A picture; only data:image/...;base64,... is accepted."""

    url: str
    detail: str = "auto"


class InputAudio(Struct, frozen=True):
    """A sound file in base64."""

    data: str
    format: str


class TextPart(Struct, frozen=True, tag="text"):
    """Text of a message."""

    text: str


class ImagePart(Struct, frozen=True, tag="image_url"):
    """A picture in a message."""

    image_url: ImageURL


class AudioPart(Struct, frozen=True, tag="input_audio"):
    """A sound in a message."""

    input_audio: InputAudio


class Message(Struct, frozen=True):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart | ImagePart | AudioPart], Meta(max_length=messages.MAX_PARTS)]
    name: str | None = None


class StreamOptions(Struct, frozen=True):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(Struct, frozen=True):
    """The fields of OpenAI's request that are used; others are ignored."""

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

    def params(self) -> dict[str, Any]:
        """The fields of GenerationParams."""
        n = self.max_completion_tokens or self.max_tokens or 128
        return {
            "max_tokens": min(n, messages.MAX_TOKENS),
            "temperature": self.temperature or 0.0,  # OpenAI's default is 1, at which a backbone of this size rambles
            "top_p": self.top_p or 1.0,
            "seed": abs(self.seed or 0),
            "top_k": (self.top_logprobs or 0) if self.logprobs else 0,
        }


_decoder = msgspec.json.Decoder(ChatRequest)


def routes(service: Service) -> list[Route]:
    """The routes of the chat API, for `make_app`."""

    async def completions(request: Request) -> Response:
        try:
            asked = _decoder.decode(await read_body(request, MAX_BODY_BYTES))
        except msgspec.DecodeError as error:
            return problem(InputError(Reason.BAD_INPUT, f"the request cannot be used: {error}"))
        except GlassesError as error:
            return problem(error)
        return await _answer(service, asked, request)

    async def models(_: Request) -> Response:
        data = [{"id": service.host.loaded.bundle.name, "object": "model", "created": 0, "owned_by": "glasses"}]
        return JSONResponse({"object": "list", "data": data})

    return [Route("/v1/chat/completions", completions, methods=["POST"]), Route("/v1/models", models)]


async def _answer(service: Service, asked: ChatRequest, request: Request) -> Response:
    try:
        client = await client_for(request, service)
        session = await client.open(chat=False)
        n_prompt = await _feed(service, session, asked)
        tokens = session.generate(**asked.params())
        first = await anext(tokens)  # an error shows here, while a status can still be sent
    except GlassesError as error:
        return problem(error)
    stream = _tokens(first, tokens)
    about = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": service.host.loaded.bundle.name,
    }
    if asked.stream:
        return StreamingResponse(_chunks(stream, about, asked, n_prompt), media_type="text/event-stream")
    return JSONResponse(_whole([token async for token in stream], about, asked, n_prompt))


async def _tokens(first: Token, rest: AsyncIterator[Token]) -> AsyncIterator[Token]:
    yield first
    async for token in rest:
        yield token


async def _feed(service: Service, session: RemoteSession, asked: ChatRequest) -> int:
    """Feeds the conversation in the backbone's chat format, with our system prompt where it has none; rows fed.

    Raises InputError(BAD_INPUT) for an order of roles that the format does not allow.
    """
    backbone, conversation = service.host.loaded.backbone, asked.messages
    if conversation[0].role not in ("system", "developer"):
        conversation = [Message("system", prompt.SYSTEM), *conversation]
    roles: list[Role] = ["system" if message.role == "developer" else message.role for message in conversation]
    frame = backbone.prompt_format.frame(roles)
    inputs: list[Input] = [backbone.tokenize(frame[0])]
    for message, text_after in zip(conversation, frame[1:], strict=True):
        for part in [TextPart(message.content)] if isinstance(message.content, str) else message.content:
            inputs += (
                [part.text]
                if isinstance(part, TextPart)
                else await service.host.run(session.id, lambda part=part: _sense(service, part))
            )
        inputs.append(backbone.tokenize(text_after))
    for i in range(0, len(inputs), messages.MAX_PARTS):
        await session.feed(*inputs[i : i + messages.MAX_PARTS])
    return session.n_past


def _sense(service: Service, part: ImagePart | AudioPart) -> list[Input]:
    """Encodes a picture or a sound, on the engine's thread. Raises InputError."""
    loaded = service.host.loaded
    if isinstance(part, ImagePart):
        head, _, data = part.image_url.url.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            raise InputError(Reason.BAD_INPUT, "image_url must be data:image/...;base64,...: nothing is fetched here")
        picture = _with_file(data, ".img", read_image)
        return [loaded.image_encoder.encode(picture)]
    pcm = _with_file(part.input_audio.data, ".bin", lambda path: read_audio(path, max_s=MAX_SOUND_S))
    return [latents for window in windows(pcm) for latents in loaded.encode_audio(window)]


def _with_file(data: str, suffix: str, read: Callable[[Path], Any]) -> Any:
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(Reason.BAD_INPUT, f"not base64: {error}") from error
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:  # the readers take files only
        file.write(raw)
        file.flush()
        return read(Path(file.name))


def _finish(limit: int, n_tokens: int) -> str:
    return "length" if n_tokens >= limit else "stop"


def _logprobs(token: Token) -> dict[str, Any]:
    top = [{"token": str(token_id), "logprob": logprob, "bytes": None} for token_id, logprob in token.top]
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.text.encode()), "top_logprobs": top}


def _usage(n_prompt: int, n_tokens: int) -> dict[str, int]:
    return {"prompt_tokens": n_prompt, "completion_tokens": n_tokens, "total_tokens": n_prompt + n_tokens}


def _whole(tokens: list[Token], about: dict[str, Any], asked: ChatRequest, n_prompt: int) -> dict[str, Any]:
    text = "".join(token.text for token in tokens)
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": _finish(asked.params()["max_tokens"], len(tokens)),
        "logprobs": {"content": [_logprobs(token) for token in tokens]} if asked.logprobs else None,
    }
    return {**about, "object": "chat.completion", "choices": [choice], "usage": _usage(n_prompt, len(tokens))}


async def _chunks(
    tokens: AsyncIterator[Token], about: dict[str, Any], asked: ChatRequest, n_prompt: int
) -> AsyncIterator[str]:
    def event(delta: dict[str, str], finish: str | None = None, logprobs: Any = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return f"data: {json.dumps({**about, 'object': 'chat.completion.chunk', 'choices': [choice], **more})}\n\n"

    yield event({"role": "assistant", "content": ""})
    n_tokens = 0
    async for token in tokens:
        n_tokens += 1
        if token.text:
            yield event({"content": token.text}, None, {"content": [_logprobs(token)]} if asked.logprobs else None)
        if token.last:
            yield event({}, _finish(asked.params()["max_tokens"], n_tokens))
    if asked.stream_options and asked.stream_options.include_usage:
        usage = {**about, "object": "chat.completion.chunk", "choices": [], "usage": _usage(n_prompt, n_tokens)}
        yield f"data: {json.dumps(usage)}\n\n"
    yield "data: [DONE]\n\n"

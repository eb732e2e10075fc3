"""Fuzz targets: bodies of requests to the service's OpenAI API, as far as they are read before any work begins."""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace
from typing import Any, cast

from glasses.backbone.llama import LlamaBackbone
from glasses.model_store import store
from glasses.service.server.openai import chat
from glasses.service.server.openai.base64_data import data_of
from glasses.service.server.openai.reading import object_of
from glasses.service.server.service import Service
from tests.fuzz.json_values import changed
from tests.fuzz.target import Target


@functools.cache
def _service() -> Service:
    """What reading a request asks of the service: its backbone, whose vocabulary decides on grammars."""
    backbone = LlamaBackbone(store.path_of("smollm2-135m-instruct-q4_1"), n_ctx=32, n_batch=32, n_threads=1)
    return cast(Service, SimpleNamespace(host=SimpleNamespace(loaded=SimpleNamespace(backbone=backbone))))


def _chat(data: bytes) -> None:
    chat.read(object_of(data), _service())


def _chat_values(data: bytes) -> None:
    text = json.dumps(changed([json.loads(seed) for seed in _chat_seeds()], data)).encode()
    chat.read(object_of(text), _service())


def _base64(data: bytes) -> None:
    data_of(data.decode("utf-8", "replace"), "messages[0]")


_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"enum": ["x", None]}}}
_TOOLS = [{"type": "function", "function": {"name": "look", "description": "d", "parameters": _SCHEMA}}]


def _chat_seeds() -> list[bytes]:
    said: list[dict[str, Any]] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"}}
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    mixed = [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture, sound]}]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
    loop = [
        *said,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]
    sampling = {"temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["\n"], "n": 1, "logit_bias": {"5": -100}}
    bodies: list[dict[str, Any]] = [
        {"model": "pocket", "messages": said},
        {"messages": said, **sampling, "max_tokens": 9, "logprobs": True, "top_logprobs": 3},
        {"messages": mixed, "stream": True, "stream_options": {"include_usage": True}, "user": None},
        {"messages": loop, "tools": _TOOLS, "tool_choice": "auto", "parallel_tool_calls": False},
        {"messages": said, "tools": _TOOLS, "tool_choice": {"type": "function", "function": {"name": "look"}}},
        {"messages": said, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}}},
        {"messages": said, "functions": [_TOOLS[0]["function"]], "function_call": "auto"},
        {"messages": said, "response_format": {"type": "json_object"}},
    ]
    return [json.dumps(body).encode() for body in bodies]


def _base64_seeds() -> list[bytes]:
    return [b"data:image/png;base64,iVBORw0KGgo=", b"UklGRg", b"data:text/plain,a%20b", b"http://a/b.png", b"DATA:;,%"]


TARGETS = {
    "chat-body": Target(_chat, _chat_seeds, needs_models=True),
    "chat-values": Target(_chat_values, lambda: [bytes((n,)) for n in range(8)], max_bytes=32, needs_models=True),
    "chat-base64": Target(_base64, _base64_seeds, max_bytes=256),
}

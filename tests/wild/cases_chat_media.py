"""Pictures and sounds of chat clients that hold nothing, or less than they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.wild import pictures, sounds
from tests.wild.case import Case
from tests.wild.chat_server import PENGUIN_64, chat, post, said

_TEXT = {"type": "text", "text": "What is in view?"}
_NOTHING_SEEN = r"^200: I cannot see anything in the picture: it is all white\. \(stop\) note: nothing can be seen in "
_NOTHING_HEARD = r"^200: I hear nothing: the sound is silent\. \(stop\) note: messages\[0\]\.content\[0\] is silent$"
_FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def _blank(size: tuple[int, int] = (320, 240)) -> dict[str, Any]:
    return _picture(pictures.array(np.full((size[1], size[0], 3), 255, np.uint8)))


def _picture(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:;base64,{base64.b64encode(data).decode()}"}}


def _sound(data: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}


def _cut_ogg() -> bytes:
    data = sounds.encoded(np.concatenate([sounds.france(), sounds.filled(3, -50)]), "OGG", "OPUS")
    return data[: round(0.7 * len(data))]


def _too_short_header() -> bytes:
    n_bytes = len(sounds.france())  # a half of what is there
    return sounds.with_bytes(sounds.encoded(sounds.france()), 40, n_bytes.to_bytes(4, "little"))


def _silence() -> bytes:
    return sounds.encoded(sounds.filled(2))


def _user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def _chat(
    kind: int, name: str, right: str, make: Callable[[], list[dict[str, Any]]], *, listed: bool = False, **fields: Any
) -> Case:
    return Case(kind, name, right, lambda _: chat(messages=make(), **fields), listed)


def _post(kind: int, name: str, right: str, path: str, make: Callable[[], dict[str, Any]]) -> Case:
    return Case(kind, name, right, lambda _: said(post(path, **make())))


def _of_responses(**fields: Any) -> dict[str, Any]:
    parts = [{"type": "input_text", "text": "What is in view?"}, {"type": "input_image", "image_url": _url(_blank())}]
    return {"json": {"input": [{"role": "user", "content": parts}], **fields}}


def _url(picture: dict[str, Any]) -> str:
    return picture["image_url"]["url"]


def _with_a_form() -> str:
    body = {"messages": [_user(_TEXT, _blank())], "response_format": _FORM}
    return json.dumps(post("/v1/chat/completions", json=body).json()["choices"][0]["message"])


_PENGUIN = _picture(base64.b64decode(PENGUIN_64))
CASES = [
    _chat(8, "chat: a picture alone", r"^200: .*penguin", lambda: [_user(_PENGUIN)]),
    _chat(
        10, "chat: a blank picture", _NOTHING_SEEN + r"messages\[0\]\.content\[1\]", lambda: [_user(_TEXT, _blank())]
    ),
    _chat(10, "chat: a blank picture alone", _NOTHING_SEEN, lambda: [_user(_blank())]),
    _chat(
        10,
        "chat: a blank picture in a stream",
        r"^200: I cannot see anything in the picture: it is all white\. note: nothing can be seen in messages",
        lambda: [_user(_TEXT, _blank())],
        stream=True,
        stream_options={"include_usage": True},
    ),
    _chat(
        10, "chat: a picture of one pixel", r"^200: I cannot see .*too small", lambda: [_user(_blank((1, 1)), _TEXT)]
    ),
    _chat(
        10,
        "chat: a blank picture beside another",
        r"^200: A penguin\. \(stop\) note: nothing can be seen in messages\[0\]\.content\[0\]: it is all white$",
        lambda: [_user(_blank(), _PENGUIN, _TEXT)],
    ),
    _chat(
        10,
        "chat: a blank picture of an earlier turn",
        r"^200: The capital of France is Paris\. \(stop\) note: nothing can be seen in messages\[0\]\.content\[1\]",
        lambda: [
            _user(_TEXT, _blank()),
            {"role": "assistant", "content": "I cannot see anything."},
            _user({"type": "text", "text": "What is the capital of France?"}),
        ],
    ),
    _chat(
        10,
        "chat: a blank picture after one that shows something",
        _NOTHING_SEEN,
        lambda: [_user(_TEXT, _PENGUIN), {"role": "assistant", "content": "A penguin."}, _user(_TEXT, _blank())],
    ),
    Case(
        10,
        "chat: a blank picture where JSON was asked for",
        '"content": null, "refusal": "I cannot see anything',
        lambda _: _with_a_form(),
    ),
    _post(
        10, "responses: a blank picture", r"^200: .*I cannot see anything.*\"notes\"", "/v1/responses", _of_responses
    ),
    _chat(4, "chat: a silent sound", _NOTHING_HEARD, lambda: [_user(_sound(_silence()))]),
    _chat(
        4, "chat: a silent sound and n", r"^(200: |\n)?(I hear nothing.*){3}", lambda: [_user(_sound(_silence()))], n=3
    ),
    _post(
        4,
        "transcription of silence",
        r'^200: {"text": "", "notes": \["file is silent"\]}$',
        "/v1/audio/transcriptions",
        lambda: {"files": {"file": _silence()}},
    ),
    _chat(
        13,
        "chat: ogg-cut",
        r"^200: .* note: messages\[0\]\.content\[0\] is cut short",
        lambda: [_user(_sound(_cut_ogg()))],
    ),
    _post(
        13,
        "transcription of ogg-cut",
        r'^200: {"text": ".*capital of France.*", "notes": \["file is cut short',
        "/v1/audio/transcriptions",
        lambda: {"files": {"file": _cut_ogg()}},
    ),
    _chat(
        13,
        "chat: a sound that is longer than its header says",
        r"^200: .*Paris.* note: messages\[0\]\.content\[1\] is longer than its header says",
        lambda: [_user({"type": "text", "text": "Answer the question."}, _sound(_too_short_header()))],
    ),
]

"""What comes within a chat request: bytes, data URLs, files, characters."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.wild.case import Case
from tests.wild.chat_server import PENGUIN_64, USER, chat, post, said, see
from tests.wild.world import in_process

_PENGUIN = r"^200: A penguin\. \(stop\)$"
_EMOJI = [{"role": "user", "content": "Repeat: \U0001f469‍\U0001f469‍\U0001f467 ok \U0001f44d\U0001f3fd"}]
_FORM = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\ncaf\xe9\r\n--b--\r\n'
_FORM_TYPE = {"content-type": "multipart/form-data; boundary=b"}


def _see(name: str, right: str, url: Any, *, listed: bool = False, kind: int = 18) -> Case:
    return Case(kind, name, right, lambda _: see(url), listed)


def _sent(name: str, right: str, came: Callable[[], str], *, listed: bool = False, kind: int) -> Case:
    return Case(kind, name, right, lambda _: came(), listed)


def _bytes(body: bytes) -> Callable[[], str]:
    return lambda: said(post("/v1/chat/completions", content=body, headers={"content-type": "application/json"}))


def _gzipped() -> str:
    body = gzip.compress(json.dumps({"messages": USER}).encode())
    return said(post("/v1/chat/completions", content=body, headers={"content-encoding": "gzip"}))


_NO_UTF_8 = [
    _sent(
        "Latin-1 in a message",
        r"^400 bad_input the body is not UTF-8",
        _bytes(b'{"messages":[{"role":"user","content":"caf\xe9"}]}'),
        listed=True,
        kind=14,
    ),
    _sent(
        "Latin-1 in the model", r"^400 .*not UTF-8", _bytes(b'{"messages":[],"model":"caf\xe9"}'), listed=True, kind=14
    ),
    _sent("Latin-1 in a field's name", r"^400 .*not UTF-8", _bytes(b'{"caf\xe9":1}'), kind=14),
    _sent("UTF-16", r"^400 ", _bytes(json.dumps({"messages": USER}).encode("utf-16")), kind=14),
    _sent("half a surrogate pair", r"^400 ", _bytes(b'{"messages":[{"role":"user","content":"\\ud83d"}]}'), kind=14),
    _sent(
        "a byte order mark",
        r"^200: ",
        _bytes(b"\xef\xbb\xbf" + json.dumps({"messages": USER, "max_tokens": 4}).encode()),
        kind=14,
    ),
    _sent("gzip", r"^400 bad_input a body with Content-Encoding gzip is not read", _gzipped, kind=14),
    _sent(
        "Latin-1 in a form",
        r"^400 ",
        lambda: said(post("/v1/audio/transcriptions", content=_FORM, headers=_FORM_TYPE)),
        kind=14,
    ),
]
_MIME = "\r\n".join(PENGUIN_64[i : i + 76] for i in range(0, len(PENGUIN_64), 76))
_DATA_URLS = [
    _see("line breaks", _PENGUIN, {"url": f"data:image/jpeg;base64,{_MIME}"}, listed=True),
    _see("no padding", _PENGUIN, {"url": f"data:image/jpeg;base64,{PENGUIN_64.rstrip('=')}"}, listed=True),
    _see(
        "the URL-safe alphabet",
        _PENGUIN,
        {"url": "data:image/jpeg;base64," + PENGUIN_64.translate(str.maketrans("+/", "-_"))},
        listed=True,
    ),
    _see("upper case", _PENGUIN, {"url": f"DATA:IMAGE/JPEG;BASE64,{PENGUIN_64}"}, listed=True),
    _see("another media type", _PENGUIN, {"url": f"data:text/plain;charset=utf-8;base64,{PENGUIN_64}"}, listed=True),
    _see("no scheme", _PENGUIN, {"url": PENGUIN_64}),
    _see("a text instead of an object", _PENGUIN, f"data:;base64,{PENGUIN_64}"),
    _see(
        "percent signs",
        _PENGUIN,
        {"url": "data:image/jpeg;base64," + PENGUIN_64.replace("+", "%2B").replace("=", "%3D")},
    ),
    _see("without the word base64", _PENGUIN, {"url": f"data:image/jpeg,{PENGUIN_64}"}),
    _see(
        "an empty picture",
        r"^400 \w+ messages\[0\]\.content\[1\]\.image_url\.url: .*empty",
        {"url": "data:,"},
        listed=True,
    ),
    _see("no picture at all", r"^400 \w+ messages\[0\]\.content\[1\]\.image_url: ", None, listed=True),
    _see(
        "a picture from elsewhere",
        r"^400 \w+ messages\[0\]\.content\[1\]\.image_url\.url: nothing is fetched",
        {"url": "http://127.0.0.1:1/x.png"},
        listed=True,
    ),
    _see(
        "a letter that is no base64",
        r"^400 \w+ messages\[0\]\.content\[1\]\.image_url\.url: no base64: '!'",
        {"url": "data:image/png;base64,AAA!"},
    ),
]
_NO_COMMANDS = r"^40\d \w+ [\w.\[\]]+: (?!.*(/tmp|ffmpeg|magick|pip install))"


def _hear(data: str) -> str:
    return chat(messages=[{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": data}}]}])


_MESSAGES = [
    _see("a picture that is none", _NO_COMMANDS, {"url": "data:image/png;base64,bm90aGluZw=="}, listed=True, kind=23),
    _see(
        "a kind of picture that is not read",
        _NO_COMMANDS,
        {"url": "data:image/jxl;base64,/wr/CgAAAAAAAAAAAAAAAAAA"},
        kind=23,
    ),
    _sent("a sound that is none", _NO_COMMANDS, lambda: _hear("bm90IGEgc291bmQ="), listed=True, kind=23),
    _sent(
        "an upload that is no sound",
        _NO_COMMANDS,
        lambda: said(post("/v1/audio/transcriptions", files={"file": b"nothing"})),
        kind=23,
    ),
]


def _repeat(folder: Path) -> str:
    del folder
    return "".join(in_process("ask", _EMOJI[0]["content"], "--max-tokens", str(n)) for n in (22, 23, 24))


_CHARACTERS = [
    Case(25, "ask ends within an emoji", r"^(?!.*\ufffd)rc 0", _repeat, True, ("slow",)),
    _sent(
        "chat ends within an emoji",
        r"^(?!.*\ufffd)200",
        lambda: "".join(chat(messages=_EMOJI, max_tokens=n) for n in (22, 23, 24, 25)),
        listed=True,
        kind=25,
    ),
    _sent(
        "a stream ends within an emoji",
        r"^(?!.*\ufffd)200",
        lambda: chat(messages=_EMOJI, max_tokens=24, stream=True),
        kind=25,
    ),
    _sent(
        "made-up tokens",
        r"^(?!.*\ufffd)200",
        lambda: chat(messages=_EMOJI, max_tokens=48, temperature=2.0, seed=1),
        kind=25,
    ),
]
CASES = [*_NO_UTF_8, *_DATA_URLS, *_MESSAGES, *_CHARACTERS]

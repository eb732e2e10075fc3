"""The fields that OpenAI's clients send, and people who write their requests by hand."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import httpx

from tests.wild.case import Case
from tests.wild.chat_server import USER, address, chat, post, said
from tests.wild.world import FRANCE

_PARIS = r"^200: The capital of France is Paris\. \(stop\)$"
_WEATHER = {
    "name": "weather",
    "parameters": {"type": "object", "properties": {"unit": {"enum": ["c", "f"]}}, "required": ["unit"]},
}
_ODD = {
    "type": "object",
    "properties": {
        'a"b': {"enum": ['12" disk\n🙂']},
        "to": {"type": "string", "pattern": r"^[a-z]{1,9}@[a-z]{1,9}\.[a-z]{2,3}$"},
    },
    "required": ['a"b', "to"],
}
_TOOLS = [{"type": "function", "function": _WEATHER}]
_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
_RANDOM = {"temperature": 1.5, "max_tokens": 8}


def _sent(name: str, right: str, came: Callable[[], str], *, listed: bool = False, kind: int = 8) -> Case:
    return Case(kind, name, right, lambda _: came(), listed)


def _chat(name: str, right: str, *, listed: bool = False, kind: int = 8, **fields: Any) -> Case:
    return Case(kind, name, right, lambda _: chat(**fields), listed)


def _differ(**fields: Any) -> str:
    return "they differ" if chat(**_RANDOM, **fields) != chat(**_RANDOM, **fields) else "the same"


def _as_json(**fields: Any) -> str:
    came = chat(max_tokens=64, **fields)
    found = re.search(r"\{.*\}", came, re.DOTALL)
    return f"JSON with {sorted(json.loads(found[0]))}" if found else came


def _top() -> str:
    body = {"messages": USER, "max_tokens": 2, "logprobs": True, "top_logprobs": 3}
    choice = post("/v1/chat/completions", json=body).json()["choices"][0]
    first, second = choice["logprobs"]["content"]
    return json.dumps([[one["token"] for one in first["top_logprobs"]], second["token"], second["bytes"]])


def _get(path: str) -> str:
    answer = httpx.get(f"{address()}{path}", timeout=30)
    body = answer.json()
    return f"{answer.status_code} {body.get('id') or body['error']['code'] + ': ' + body['error']['message']}"


def _by_grammar(form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": form}}


def _spoken() -> str:
    answer = post("/v1/audio/speech", json={"input": "Hello.", "response_format": "flac"})
    return f"{answer.status_code} {answer.headers['content-type']} {answer.content[:4].decode()}"


_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["colour", "n"],
    "additionalProperties": False,
}

_SAID = {
    "type": "input_audio",
    "input_audio": {"data": base64.b64encode(FRANCE.read_bytes()).decode(), "format": "wav"},
}
_SPOKEN = {"role": "user", "content": [_SAID]}
_REPEAT = {"role": "user", "content": [{"type": "text", "text": "Repeat the words:"}, _SAID]}
_EARLIER = [{"role": "user", "content": "Say hi."}, {"role": "assistant", "content": "Hi."}]

_FIELDS = [
    _chat("a spoken question alone is answered", _PARIS, messages=[_SPOKEN]),
    _chat("a spoken question after a typed turn", r"^200: [^?]*Paris", messages=[*_EARLIER, _SPOKEN]),
    _chat(
        "a spoken question beside a text that is empty",
        _PARIS,
        messages=[{"role": "user", "content": [_SAID, {"type": "text", "text": ""}]}],
    ),
    _chat("a sound that a typed request is about", r"^200: \W*What is the capital of France\?", messages=[_REPEAT]),
    _chat("stop as a text cuts", r"^200: The \(stop\)$", listed=True, stop=" capital", max_tokens=40),
    _chat("stop within a token cuts", r"^200: The capital of F \(stop\)$", listed=True, stop=["ranc", "zzz"]),
    _chat(
        "stop cuts in a stream",
        r"^200: The\| capital\| of\| France\| $|^200: The\| capital\| of\| France$",
        listed=True,
        stop="is",
        stream=True,
    ),
    _chat("n gives as many answers", r"^200: [^\n]*\n[^\n]*\n[^\n]*$", listed=True, n=3),
    _sent(
        "response_format json_object gives JSON",
        r"^JSON with",
        lambda: _as_json(response_format={"type": "json_object"}),
        listed=True,
    ),
    _sent(
        "response_format json_schema gives what fits",
        r"^JSON with \['colour', 'n'\]$",
        lambda: _as_json(response_format=_by_grammar(_SCHEMA)),
    ),
    _chat(
        "tools required calls",
        r'\(tool_calls\) weather\{ ?"unit" ?: ?"[cf]" ?\}',
        listed=True,
        tools=_TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=64,
    ),
    _chat(
        "tools in their old form",
        r"function_call",
        functions=[_WEATHER],
        function_call={"name": "weather"},
        max_tokens=64,
    ),
    _chat(
        "a schema that cannot be enforced is refused by name",
        r"^400 invalid_schema response_format: .*not",
        response_format=_by_grammar({"not": {}}),
    ),
    _chat(
        "tools with quotes, line breaks and an e-mail address in their schema",
        r'\(tool_calls\) f\{ ?"a\\"b" ?: ?"12\\" disk\\n🙂" ?, ?"to" ?: ?"[^"@]+@[^"@]+\.[a-z]+" ?\}',
        tools=[{"type": "function", "function": {"name": "f", "parameters": _ODD}}],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=96,
    ),
    _chat(
        "a result of a tool is read",
        r"^200: ",
        listed=True,
        messages=[*USER, _CALL, {"role": "tool", "tool_call_id": "c1", "content": "Sunny"}],
    ),
    _chat(
        "a result of a function is read",
        r"^200: ",
        messages=[*USER, {"role": "function", "name": "f", "content": "Sunny"}],
    ),
    _chat("content null", r"^200: ", listed=True, messages=[*USER, {"role": "assistant", "content": None}, *USER]),
    _chat("content missing", r"^200: ", listed=True, messages=[*USER, {"role": "assistant"}, *USER]),
    _chat("role developer", r"^200: ", messages=[{"role": "developer", "content": "Be brief."}, *USER]),
    _sent("top_logprobs are text", r'^\[\["The", .*\], " capital", \[32, 99', _top, listed=True),
    _chat("top_logprobs alone", r"^400 invalid_value top_logprobs: ", listed=True, top_logprobs=3),
    _sent("seed null is random", r"^they differ$", lambda: _differ(seed=None), listed=True),
    _sent("seed -1 is random", r"^they differ$", lambda: _differ(seed=-1)),
    _sent("seed repeats", r"^the same$", lambda: _differ(seed=7)),
    _chat("seed of 80 bits", r"^400 invalid_value seed: ", seed=2**80),
    _chat("logit_bias takes a token away", r"^200: (?!The)", listed=True, logit_bias={"504": -100}),
    _chat("logit_bias of no token", r"^400 invalid_value logit_bias: there is no token", logit_bias={"999999": 1}),
    _chat(
        "nulls are defaults",
        _PARIS,
        temperature=None,
        stop=None,
        seed=None,
        tools=None,
        max_tokens=16,
        top_p=None,
        n=None,
        audio=None,
    ),
    _chat("a field that is not supported", r"^400 unsupported_parameter modalities: ", modalities=["text", "audio"]),
    _chat("a field that there is not", r"^400 unknown_parameter min_p: ", min_p=0.1),
    _chat("a whole number as a float", _PARIS, max_tokens=16.0),
    _chat("temperature over OpenAI's range", r"^400 \w+ temperature: ", temperature=2.5),
    _chat(
        "a part of an unknown type",
        r"^400 \w+ messages\[1\]\.content\[0\]\.type: ",
        messages=[*USER, {"role": "user", "content": [{"type": "file"}]}],
    ),
    _chat(
        "a text longer than the context",
        r"^400 context_length_exceeded messages: ",
        listed=True,
        messages=[{"role": "user", "content": "word " * 9000}],
    ),
    Case(
        8,
        "finish_reason at the context's end",
        r"\(length\)$",
        lambda _: chat(messages=[{"role": "user", "content": "word " * 1980}], max_tokens=1024),
        True,
        ("slow",),
    ),
    _sent("GET /v1/models/pocket", r"^200 pocket$", lambda: _get("/v1/models/pocket"), listed=True),
    _sent("GET /v1/models/nosuch", r"^404 model_not_found: ", lambda: _get("/v1/models/nosuch")),
    _sent("a path without /v1", r"^404 not_found: .*ends with /v1", lambda: _get("/models")),
    _sent("a path with a slash too many", r"^404 not_found: .*begin with /v1/$", lambda: _get("//v1/models")),
    _sent("the base URL alone", r"^404 not_found: .*begin with /v1/$", lambda: _get("/v1")),
    _sent("another method", r"^405 method_not_allowed: .*POST", lambda: _get("/v1/chat/completions")),
    _sent(
        "POST /v1/completions",
        r"^200: Paris",
        lambda: said(post("/v1/completions", json={"prompt": "The capital of France is"})),
    ),
    _sent(
        "POST /v1/responses",
        r"^200: .*The capital of France is Paris\.",
        lambda: said(post("/v1/responses", json={"input": USER[0]["content"]})),
    ),
    _sent(
        "POST /v1/audio/transcriptions",
        r"^200: .*capital of France",
        lambda: said(post("/v1/audio/transcriptions", data={"model": "x"}, files={"file": FRANCE.read_bytes()})),
    ),
    _sent("POST /v1/audio/speech", r"^200 audio/flac fLaC", _spoken),
]
CASES = _FIELDS

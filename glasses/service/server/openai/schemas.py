"""The JSON schema of every honoured field, and of what answers add to OpenAI's, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from glasses.service.server.openai import fields
from glasses.service.server.openai.fields import Field

_TEXT, _OBJECT, _FLAG = {"type": "string"}, {"type": "object"}, {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 1}


def _number(least: float, most: float) -> dict[str, Any]:
    return {"type": "number", "minimum": least, "maximum": most}


_CONTENT = {"anyOf": [_TEXT, {"type": "array", "maxItems": 64, "items": {"anyOf": [_TEXT, _OBJECT]}}]}
_SHARED: dict[str, Any] = {
    "model": _TEXT,
    "stream": _FLAG,
    "stream_options": {"type": "object", "properties": {"include_usage": _FLAG, "include_obfuscation": _FLAG}},
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
    "max_output_tokens": _COUNT,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "logit_bias": {"type": "object", "maxProperties": 1024, "additionalProperties": _number(-100, 100)},
    "seed": {"type": "integer"},
    "stop": {"anyOf": [_TEXT, {"type": "array", "maxItems": 16, "items": _TEXT}]},
    "n": {"type": "integer", "minimum": 1, "maximum": 8},
    "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
    "response_format": {
        "type": "object",
        "properties": {"type": {"enum": ["text", "json_object", "json_schema"]}, "json_schema": _OBJECT},
        "required": ["type"],
    },
    "tools": {"type": "array", "maxItems": 64, "items": _OBJECT},
    "tool_choice": {"anyOf": [{"enum": ["none", "auto", "required"]}, _OBJECT]},
    "parallel_tool_calls": _FLAG,
    "functions": {"type": "array", "maxItems": 64, "items": _OBJECT},
    "function_call": {"anyOf": [{"enum": ["none", "auto"]}, _OBJECT]},
    "messages": {"type": "array", "minItems": 1, "maxItems": 512, "items": {"$ref": "#/components/schemas/Message"}},
    "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
    "content": _CONTENT,
    "tool_calls": {"type": "array", "items": _OBJECT},
    "refusal": _TEXT,
    "prompt": {
        "anyOf": [_TEXT, {"type": "array", "items": {"anyOf": [_TEXT, {"type": "integer"}, {"type": "array"}]}}]
    },
    "echo": _FLAG,
    "input": {"anyOf": [_TEXT, {"type": "array", "items": _OBJECT}]},
    "instructions": _TEXT,
    "text": {"type": "object", "properties": {"format": _OBJECT}},
    "metadata": _OBJECT,
    "file": {"type": "string", "format": "binary"},
}
_OWN: dict[str, dict[str, Any]] = {
    "POST /v1/chat/completions": {"logprobs": _FLAG},
    "POST /v1/completions": {"logprobs": {"type": "integer", "minimum": 0, "maximum": 5}},
    "POST /v1/audio/transcriptions": {"response_format": _TEXT},
    "POST /v1/audio/speech": {"response_format": _TEXT, "input": {"type": "string", "maxLength": 4096}},
}
NOTED = {
    "type": "object",
    "properties": {
        "notes": {
            "type": "array",
            "items": _TEXT,
            "description": "what is missing of pictures and sounds, in words; absent where nothing is; "
            "of a stream in the last chunk, or in the response of the last event",
        }
    },
}
"""An answer to pictures and sounds."""
_NEEDED = {"messages", "role", "prompt", "input", "file"}


def schema_of(route: str) -> dict[str, Any]:
    """The schema of a request's fields; null is allowed for all but those that are needed."""
    table: dict[str, Field] = fields.ROUTES[route]
    honoured = [name for name, one in table.items() if one.state == "honoured"]
    own = _OWN.get(route, {})
    properties = {
        name: {**_or_null(own[name] if name in own else _SHARED[name], name), "description": table[name].note}
        for name in honoured
    }
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in honoured if name in _NEEDED],
        "x-fields": fields.published(table),
    }


def _or_null(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return schema if name in _NEEDED else {"anyOf": [schema, {"type": "null"}]}

"""The HTTP routes of the service as an OpenAPI document, made from the types that check every request."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from glasses import __version__
from glasses.service.protocol import wire
from glasses.service.protocol.events import Description
from glasses.service.server.http_app import SESSIONLESS, WIRE_TYPE
from glasses.service.server.openai import audio, schemas

_ERRORS = {
    400: "cannot be used",
    401: "no bearer token, or another",
    403: "not allowed here",
    404: "an unknown session or token",
    405: "another method",
    408: "the body did not come in time",
    413: "over a cap",
    421: "the Host header names another machine",
    429: "all places are taken",
    501: "not with this backend",
}


class Header(msgspec.Struct):
    """The header of a message; see `protocol.wire` for its bytes."""

    body: SESSIONLESS  # type: ignore[valid-type]
    arrays: list[wire.ArraySpec] = msgspec.field(default_factory=list)


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document. It cannot describe the messages of the WebSocket: `GET /v1/schema` does."""
    kinds = (Header, Description)
    where = "#/components/schemas/{name}"
    (header, about), components = msgspec.json.schema_components(kinds, ref_template=where)
    problems = {
        str(status): {"description": why, "content": {"application/json": {"schema": _PROBLEM}}}
        for status, why in _ERRORS.items()
    }
    dtype = {"name": "dtype", "in": "query", "schema": {"enum": list(get_args(wire.Dtype))}, "description": "of arrays"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "glasses: the latent service", "version": __version__},
        "paths": {
            "/health": {"get": _operation("open", _json({"type": "object"}), {})},
            "/v1/schema": {"get": _operation("what this service is", _json(about), problems)},
            "/v1/models": {"get": _operation("the bundle", _json({"type": "object"}), problems)},
            "/v1/models/{id}": {
                "get": _operation("the bundle", _json({"type": "object"}), problems)
                | {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]}
            },
            "/v1/message": {
                "post": _operation("answers, each after its length", {WIRE_TYPE: {}}, problems)
                | {"parameters": [dtype], "requestBody": {"required": True, "content": {WIRE_TYPE: {"schema": header}}}}
            },
            **{path: {"post": _openai(path, content, problems)} for path, content in _OPENAI.items()},
        },
        "components": {
            "schemas": components | {"Message": schemas.schema_of("its messages")},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def route() -> Route:
    """The route GET /v1/openapi.json."""

    async def openapi(_: Request) -> JSONResponse:
        return JSONResponse(document())

    return Route("/v1/openapi.json", openapi)


def _openai(path: str, content: dict[str, Any], problems: dict[str, Any]) -> dict[str, Any]:
    body = schemas.schema_of(f"POST {path}")
    sent_as = "multipart/form-data" if "file" in body["properties"] else "application/json"
    return _operation("the answer", content, problems) | {
        "requestBody": {"required": True, "content": {sent_as: {"schema": body}}}
    }


_PROBLEM = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


_EVENTS: dict[str, Any] = {"text/event-stream": {}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(what: str, content: dict[str, Any], problems: dict[str, Any]) -> dict[str, Any]:
    return {"responses": {"200": {"description": what, "content": content}, **problems}}


_OPENAI: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": _json(schemas.NOTED) | _EVENTS,
    "/v1/completions": _json({"type": "object"}) | _EVENTS,
    "/v1/responses": _json(schemas.NOTED) | _EVENTS,
    "/v1/audio/transcriptions": _json(schemas.NOTED) | _EVENTS | {"text/plain": {}},
    "/v1/audio/speech": {kind: {} for kind, *_ in audio.WRITTEN_AS.values()},
}

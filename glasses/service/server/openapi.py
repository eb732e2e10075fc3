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
from glasses.service.server import chat
from glasses.service.server.http_app import SESSIONLESS, WIRE_TYPE

_ERRORS = {
    400: "cannot be used",
    401: "no bearer token, or another",
    403: "not allowed here",
    404: "an unknown session or token",
    408: "the body did not come in time",
    413: "over a cap",
    429: "all places are taken",
    501: "not with this backend",
}


class Header(msgspec.Struct):
    """The header of a message; see `protocol.wire` for its bytes."""

    body: SESSIONLESS  # type: ignore[valid-type]
    arrays: list[wire.ArraySpec] = msgspec.field(default_factory=list)


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document. It cannot describe the messages of the WebSocket: `GET /v1/schema` does."""
    kinds = (Header, chat.ChatRequest, Description)
    where = "#/components/schemas/{name}"
    (header, asked, about), components = msgspec.json.schema_components(kinds, ref_template=where)
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
            "/v1/message": {
                "post": _operation("answers, each after its length", {WIRE_TYPE: {}}, problems)
                | {"parameters": [dtype], "requestBody": {"required": True, "content": {WIRE_TYPE: {"schema": header}}}}
            },
            "/v1/chat/completions": {
                "post": _operation("the answer", _json({"type": "object"}) | {"text/event-stream": {}}, problems)
                | {"requestBody": {"required": True, "content": _json(asked)}}
            },
        },
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def route() -> Route:
    """The route GET /v1/openapi.json."""

    async def openapi(_: Request) -> JSONResponse:
        return JSONResponse(document())

    return Route("/v1/openapi.json", openapi)


_PROBLEM = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            "required": ["type", "message"],
        }
    },
    "required": ["error"],
}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(what: str, content: dict[str, Any], problems: dict[str, Any]) -> dict[str, Any]:
    return {"responses": {"200": {"description": what, "content": content}, **problems}}

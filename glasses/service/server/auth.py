"""Access to the service: an ASGI wrapper that checks the bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
OPEN_PATHS = frozenset({"/health"})


class BearerAuth:
    """Lets requests with the bearer token `token` pass. Without a token, all requests pass but those with an Origin
    header: web pages send it, and any page that the user opens could otherwise reach a service on this machine.
    """

    def __init__(self, app: App, token: str | None) -> None:
        self._app, self._expected = app, None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or scope.get("path") in OPEN_PATHS or self._allowed(dict(scope["headers"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = {"error": {"type": "refused", "message": "a valid Authorization: Bearer TOKEN header is needed"}}
            await JSONResponse(body, 401, {"www-authenticate": "Bearer"})(scope, receive, send)

    def _allowed(self, headers: dict[bytes, bytes]) -> bool:
        if self._expected is None:
            return b"origin" not in headers
        return hmac.compare_digest(headers.get(b"authorization", b""), self._expected)

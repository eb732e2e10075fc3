"""Access to the service: an ASGI wrapper that checks the bearer token, or what web pages cannot help sending."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from glasses.errors import Reason
from glasses.service.server.clients import Complaints
from glasses.service.server.problems import body_of

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
OPEN_PATHS = frozenset({"/health"})
_complain = Complaints(logging.getLogger(__name__))


class BearerAuth:
    """Lets requests with the bearer token `token` pass. Without a token, all requests pass but those with an Origin
    header: web pages send it, and any page that the user opens could otherwise reach a service on this machine.

    `checks_host` also refuses those whose Host header names another machine. A page can have its own name resolve to
    the loopback (DNS rebinding); its requests are then of one origin and need no Origin header.
    """

    def __init__(self, app: App, token: str | None, *, checks_host: bool = False) -> None:
        self._app, self._expected = app, None if token is None else token.encode()
        self._checks_host = checks_host

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope, dict(scope["headers"]))
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, message = refusal
        _complain(scope.get("client"), f"was refused with {status}: {message}")
        headers = {"www-authenticate": "Bearer"} if status == 401 else {}
        code = "invalid_api_key" if status == 401 else str(Reason.REFUSED)
        response = JSONResponse(body_of(status, message, code=code), status, headers)
        if scope["type"] == "websocket":
            await receive()
        await response(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """The status and the reason, in words, why a request is refused."""
        if self._checks_host and b"host" in headers and not _is_loopback(headers[b"host"].decode("latin-1")):
            return 421, "the Host header names another machine: ask for 127.0.0.1, [::1] or localhost"
        if scope.get("path") in OPEN_PATHS:
            return None
        if self._expected is not None:
            scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._expected):
                return None
            return 401, "a valid Authorization: Bearer TOKEN header is needed"
        if b"origin" in headers:
            return 403, "because of its Origin header, which web pages send: serve with --token-file to let them in"
        return None


def _is_loopback(host: str) -> bool:
    """Whether a Host header, with or without a port, names this machine."""
    named = re.fullmatch(r"(?:\[([0-9A-Fa-f:]+)\]|([^:\[\]]+))(?::\d*)?", host.strip())
    if named is None:
        return False
    name = (named[1] or named[2]).lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

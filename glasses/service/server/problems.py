"""Errors as HTTP responses, in the shape that OpenAI's clients read, on every route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from glasses.errors import GlassesError, InputError, Reason
from glasses.service.server.budget import RETRY_AFTER_S

_STATUS = {Reason.TOO_LARGE: 413, Reason.NOT_FOUND: 404, Reason.BUSY: 429, Reason.UNSUPPORTED: 501, Reason.TIMEOUT: 408,
           Reason.INTERNAL: 500, Reason.REFUSED: 403}  # fmt: skip
_CODES = {Reason.CONTEXT_FULL: "context_length_exceeded"}  # where OpenAI has a word of its own
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
          429: "rate_limit_error"}  # fmt: skip


class FieldError(InputError):
    """A field of a request cannot be used. `param` names it (`messages[0].content[1]`), `code` says why in OpenAI's
    words where it has some.
    """

    def __init__(self, param: str, message: str, *, code: str = "invalid_value", reason: Reason = Reason.BAD_INPUT):
        super().__init__(reason, f"{param}: {message}")
        self.param, self.code = param, code


def body_of(status: int, message: str, *, code: str, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def problem(error: GlassesError) -> JSONResponse:
    """An error as an HTTP response."""
    status, code, param = _STATUS.get(error.reason, 400), _CODES.get(error.reason, str(error.reason)), None
    if isinstance(error, FieldError):
        code, param = error.code, error.param
    headers = {"retry-after": str(RETRY_AFTER_S)} if error.reason is Reason.BUSY else {}
    return JSONResponse(body_of(status, str(error), code=code, param=param), status, headers)


async def _of_routing(request: Request, error: Exception) -> Response:
    """No such route, or another method."""
    assert isinstance(error, HTTPException)
    path, headers = request.url.path, dict(error.headers or {})
    if error.status_code == 404:
        message = f"there is nothing at {path}"
        if "v1" not in path.split("/"):
            message += f": the base URL of this API ends with /v1 (/v1{path})"
        elif not path.startswith("/v1/"):
            message += ": paths of this API begin with /v1/"
        return JSONResponse(body_of(404, message, code="not_found"), 404)
    allowed = {name.lower(): value for name, value in headers.items()}.get("allow", "another method")
    message = f"{request.method} is not for {path}: use {allowed}" if error.status_code == 405 else error.detail
    code = "method_not_allowed" if error.status_code == 405 else "bad_input"
    return JSONResponse(body_of(error.status_code, message, code=code), error.status_code, headers)


async def _of_failure(request: Request, error: Exception) -> Response:
    """An error that is a bug of ours; Starlette logs it as well."""
    message = f"the service failed at {request.url.path}: {type(error).__name__}"
    return JSONResponse(body_of(500, message, code="internal"), 500)


HANDLERS: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    HTTPException: _of_routing,
    Exception: _of_failure,
}
"""For Starlette's `exception_handlers`."""

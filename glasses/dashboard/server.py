"""The page's server: one token for everything, on this machine unless told otherwise.

The token comes once in the address, becomes a cookie that scripts and other sites cannot use, and leaves the address
bar. Needs the extra `service`.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from glasses.dashboard.status import Panel
from glasses.errors import InputError, Reason
from glasses.system.supervised import SupervisedThread
from glasses.types import UInt8Array

HERE = Path(__file__).parent
RATE_HZ = 5  # of snapshots
WATCHERS = 4  # pages open at once: each costs a stream
MAX_BODY_BYTES = 1024
CAMERA_WIDTH = 640
_COOKIE = "glasses_dashboard"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_FILES = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def app(panel: Panel, token: str, *, mute: Callable[[bool], bool], wipe: Callable[[], None]) -> Starlette:
    """The page as ASGI. `mute` says whether it was done when it returns; `wipe` forgets the latents."""
    page = _Page(panel, token, mute, wipe)

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Response:
            if not _allowed(request, token):
                return _refused()
            response = await handler(request)
            response.headers.update(_HEADERS)
            return response

        return checked

    return Starlette(
        routes=[
            *(Route(path, guarded(page.file)) for path in _FILES),
            Route("/events", guarded(page.events)),
            *(Route(f"/{name}.jpg", guarded(page.picture)) for name in ("camera", "hud")),
            *(Route(path, guarded(page.switch), methods=["POST"]) for path in ("/mute", "/wipe")),
        ]
    )


@dataclass(slots=True)
class _Page:
    """What each address answers to those who have the token."""

    panel: Panel
    token: str
    mute: Callable[[bool], bool]
    wipe: Callable[[], None]
    watchers: int = 0

    async def file(self, request: Request) -> Response:
        if "token" in request.query_params:  # once: into the cookie, out of the address bar
            redirect = RedirectResponse("/", 303)
            secure = request.url.scheme == "https"
            redirect.set_cookie(_COOKIE, self.token, httponly=True, samesite="strict", secure=secure)
            return redirect
        return FileResponse(HERE / _FILES[request.url.path])

    async def events(self, request: Request) -> Response:
        if self.watchers >= WATCHERS:
            return JSONResponse({"error": f"{WATCHERS} pages are open already"}, 503)
        return StreamingResponse(self._stream(request), media_type="text/event-stream")

    async def _stream(self, request: Request) -> AsyncIterator[str]:
        self.watchers += 1
        try:
            while not await request.is_disconnected():
                yield f"data: {json.dumps(asdict(self.panel.snapshot()))}\n\n"
                await asyncio.sleep(1 / RATE_HZ)
        finally:
            self.watchers -= 1

    async def picture(self, request: Request) -> Response:
        rgb = self.panel.pictures()[Path(request.url.path).stem]
        if rgb is None:
            return Response(status_code=204)
        return Response(await run_in_threadpool(_jpeg, rgb), media_type="image/jpeg")

    async def switch(self, request: Request) -> Response:
        if not _same_origin(request):
            return _refused()
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"error": "too long"}, 413)
        if request.url.path == "/wipe":
            await run_in_threadpool(self.wipe)
            return JSONResponse({"wiped": True})
        try:
            muted = json.loads(body)["muted"]
        except (ValueError, KeyError, TypeError):
            muted = None
        if not isinstance(muted, bool):
            return JSONResponse({"error": 'the body must be {"muted": true} or {"muted": false}'}, 400)
        if not await run_in_threadpool(self.mute, muted):
            return JSONResponse({"error": "the devices have not followed yet"}, 503)
        self.panel.set_muted(muted)
        return JSONResponse({"muted": muted})


@contextmanager
def serving(
    panel: Panel, *, mute: Callable[[bool], bool], wipe: Callable[[], None], host: str = "127.0.0.1", port: int = 8766
) -> Iterator[str]:
    """Serves in a thread of its own; gives the address with its token. Raises InputError(BUSY, BAD_INPUT)."""
    token = secrets.token_urlsafe(24)
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        reason = Reason.BUSY if error.errno == errno.EADDRINUSE else Reason.BAD_INPUT
        raise InputError(reason, f"the dashboard cannot listen on {host}:{port}: {error.strerror}") from error
    config = uvicorn.Config(
        app(panel, token, mute=mute, wipe=wipe),
        log_config=None,  # the process's own logging, which no stopped terminal can block
        log_level=logging.CRITICAL,  # uvicorn calls a page that is still open at the end an error
        access_log=False,  # it would hold the token
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = SupervisedThread(lambda: server.run([listening]), "page server").start()
    while thread.alive and not server.started:
        time.sleep(0.01)
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{listening.getsockname()[1]}/?token={token}"
    finally:
        server.should_exit = True
        thread.close(5)
        listening.close()


def _allowed(request: Request, token: str) -> bool:
    given = request.query_params.get("token") or request.cookies.get(_COOKIE) or ""
    return hmac.compare_digest(given.encode(), token.encode())


def _same_origin(request: Request) -> bool:
    """Whether a page of ours sent it: SameSite keeps other sites out already, this also other ports of this machine."""
    origin = request.headers.get("origin")
    return origin is None or origin.split("://")[-1] == request.headers.get("host")


def _refused() -> Response:
    text = "Refused: open the address that `glasses run --dashboard` printed, with its token.\n"
    return Response(text, 401, _HEADERS, "text/plain")


def _jpeg(rgb: UInt8Array) -> bytes:
    height, width = rgb.shape[:2]
    size = (CAMERA_WIDTH, height * CAMERA_WIDTH // width)
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if width > CAMERA_WIDTH else rgb
    return cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()

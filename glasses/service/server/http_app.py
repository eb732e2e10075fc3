"""The service as an ASGI application: one WebSocket for everything, plain HTTP for one-shot calls.

GET  /health                  200 once the backbone is open
GET  /v1/openapi.json         the HTTP routes for tools (openapi.py)
GET  /v1/schema               Description as JSON: what the backend can do, limits, every message's schema
WS   /v1/ws?dtype=f32|f16|i8  messages of `wire`, one a binary frame, many sessions on one connection
POST /v1/message              one message that needs no session; the answers follow, each after its length (uint32)
...                           OpenAI's routes: see openai/
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from glasses.errors import GlassesError, InputError, Reason, RemoteError
from glasses.service.protocol import wire
from glasses.service.protocol.messages import Describe, GradientRequest, OneShot, Ping, Tokenize, TokenRequest
from glasses.service.server.clients import account_of
from glasses.service.server.problems import HANDLERS, problem
from glasses.service.server.service import Service

# Messages that wait for a slow reader; over that its connection is dropped, and its sessions linger.
MAX_UNSENT, MAX_UNSENT_BYTES = 2048, 64 << 20
MAX_AT_ONCE = 16  # requests of one connection in progress; over that it is not read from
READ_BODY_S = 30.0
LENGTH = struct.Struct("<I")
WIRE_TYPE = "application/x-glasses-wire"
SESSIONLESS = Describe | OneShot | Ping | Tokenize | GradientRequest | TokenRequest
_counter = iter(range(1, 1 << 62))


class QueuePeer:
    """The outgoing messages of a connection. `key` is whose share of the worker's time its requests count to."""

    def __init__(self, dtype: wire.Dtype, key: str | None = None) -> None:
        self.dtype: wire.Dtype = dtype
        self.key: str = key or f"peer {next(_counter)}"
        self._unsent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._n_bytes = 0
        self._has_ended = False

    def send(self, data: bytes) -> None:
        if self._has_ended:
            return
        n_bytes = self._n_bytes + len(data)
        if self._unsent.qsize() >= MAX_UNSENT or (self._n_bytes and n_bytes > MAX_UNSENT_BYTES):
            self.end()
            return
        self._n_bytes = n_bytes
        self._unsent.put_nowait(data)

    def end(self) -> None:
        """No message is taken any more."""
        self._has_ended = True
        self._unsent.put_nowait(None)

    async def next(self) -> bytes | None:
        """The oldest message; None after the last."""
        data = await self._unsent.get()
        self._n_bytes -= len(data or b"")
        return data


def make_app(service: Service, extra_routes: list[Any] | None = None) -> Starlette:
    """The ASGI application of a started service."""

    async def websocket(ws: WebSocket) -> None:
        await _websocket(service, ws)

    async def message(request: Request) -> Response:
        return await _message(service, request)

    async def schema(_: Request) -> Response:
        return Response(msgspec.json.encode(service.describe()), media_type="application/json")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [
        Route("/health", health),
        Route("/v1/schema", schema),
        Route("/v1/message", message, methods=["POST"]),
        WebSocketRoute("/v1/ws", websocket),
        *(extra_routes or []),
    ]
    return Starlette(routes=routes, exception_handlers=HANDLERS)


async def read_body(request: Request, limit: int) -> bytes:
    """Reads the body, at most `limit` bytes. Raises InputError: TOO_LARGE, TIMEOUT, BAD_INPUT (compressed)."""
    if (encoding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("identity", ""):
        raise InputError(
            Reason.BAD_INPUT, f"a body with Content-Encoding {encoding[:20]} is not read: send it as it is"
        )
    body = bytearray()
    try:
        async with asyncio.timeout(READ_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise InputError(Reason.TOO_LARGE, f"a body of over {limit} bytes")
    except TimeoutError as error:
        raise InputError(Reason.TIMEOUT, f"the body did not come within {READ_BODY_S:.0f} s") from error
    return bytes(body)


async def _websocket(service: Service, ws: WebSocket) -> None:
    dtype = ws.query_params.get("dtype", "f32")
    if dtype not in get_args(wire.Dtype):
        await ws.close(1008)
        return
    await ws.accept()
    peer = QueuePeer(dtype, account_of(ws.client) or None)  # type: ignore[arg-type]
    places = asyncio.Semaphore(MAX_AT_ONCE)
    tasks: set[asyncio.Task[None]] = set()
    writer = asyncio.create_task(_write(ws, peer))
    try:
        while True:
            data = await ws.receive_bytes()
            await service.gate.wait(peer.key)  # with one message in hand: pings of its client are answered meanwhile
            await places.acquire()
            task = asyncio.create_task(_receive(service, ws, peer, data))  # tasks begin in the order of their messages
            tasks.add(task)
            task.add_done_callback(lambda done: (tasks.discard(done), places.release()))
    except (WebSocketDisconnect, KeyError, RuntimeError):  # KeyError: a text frame; RuntimeError: closed by the writer
        pass
    finally:
        service.detach(peer)
        for task in (*tasks, writer):
            task.cancel()
        await asyncio.gather(*tasks, writer, return_exceptions=True)


async def _receive(service: Service, ws: WebSocket, peer: QueuePeer, data: bytes) -> None:
    """Does one request; its bytes count to the client's memory meanwhile."""
    try:
        service.memory.take(ws.client, len(data))
    except RemoteError as error:
        service.refuse(peer, data, error)
        return
    try:
        await service.receive(peer, data)
    finally:
        service.memory.release(ws.client, len(data))


async def _write(ws: WebSocket, peer: QueuePeer) -> None:
    while (data := await peer.next()) is not None:
        await ws.send_bytes(data)
    await ws.close(1013)


async def _message(service: Service, request: Request) -> Response:
    dtype = request.query_params.get("dtype", "f32")
    try:
        if dtype not in get_args(wire.Dtype):
            raise InputError(Reason.BAD_INPUT, f"dtype is f32, f16 or i8, not {dtype[:20]}")
        data = await read_body(request, wire.MAX_MESSAGE_BYTES)
        body, _ = service.decode(data)
        if not isinstance(body, SESSIONLESS):
            raise InputError(Reason.BAD_INPUT, "sessions need the WebSocket; here go once, gradients and tokens")
        if isinstance(body, OneShot):  # it takes a session
            await request.state.exit_stack.enter_async_context(service.places.place(request.client))
    except GlassesError as error:
        return problem(error)
    peer = QueuePeer(dtype, account_of(request.client) or None)  # type: ignore[arg-type]

    async def answers() -> AsyncIterator[bytes]:
        task = asyncio.create_task(service.receive(peer, data))
        task.add_done_callback(lambda _: peer.end())
        try:
            while (answer := await peer.next()) is not None:
                yield LENGTH.pack(len(answer)) + answer
        finally:
            task.cancel()

    return StreamingResponse(answers(), media_type=WIRE_TYPE)

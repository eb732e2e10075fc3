"""Ties the work of an HTTP request to its client: when the connection is gone, what it asked for is cancelled.

`TiedToClient` wraps the whole application, so this holds for every route, for whole and for streamed answers. A route
enters what must be closed afterwards on the request's exit stack (`exit_stack`), or takes its client of the service
from `client_for`, whose sessions end with the request.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from starlette.requests import Request

from glasses.service.client.client import Client
from glasses.service.server.auth import App, Scope
from glasses.service.server.budget import Memory
from glasses.service.server.clients import account_of
from glasses.service.server.in_process import InProcess
from glasses.service.server.peers import Gate
from glasses.service.server.service import Service


def exit_stack(request: Request) -> AsyncExitStack:
    """The stack that is closed once the request was answered, failed, or lost its client."""
    return request.state.exit_stack


async def client_for(request: Request, service: Service) -> Client:
    """A client of `service` for the work of one request: its sessions end with the request, however that ends.

    Waits for its turn where as much is worked on as there is room for. Raises RemoteError(BUSY).
    """
    stack = exit_stack(request)
    await stack.enter_async_context(service.places.place(request.client))
    transport = InProcess(service, ends_sessions=True, account=account_of(request.client))
    return await stack.enter_async_context(Client(transport))


class TiedToClient:
    """ASGI wrapper that runs the application in a task of its own, and cancels it when the client leaves.

    The application is told ASGI 2.4, in which it is the server that notices a client that left. Starlette would
    otherwise watch for that itself, and cancel in a way (anyio's) that keeps `finally` blocks from awaiting anything.
    The bytes of a body count to `memory` until the request is done. It begins once `gate` is open.
    """

    def __init__(self, app: App, memory: Memory, gate: Gate) -> None:
        self._app, self._memory, self._gate = app, memory, gate

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._gate.wait()
        connection = _Connection(receive, send, scope.get("client"), self._memory)
        work = asyncio.create_task(self._work(scope, connection))
        gone = asyncio.create_task(connection.wait_gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if connection.is_answered:  # what is left is to close what was opened
                await asyncio.wait({work})
        finally:
            was_done = work.done()
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            connection.release()
        if was_done and not work.cancelled():
            work.result()  # raises what the application raised

    async def _work(self, scope: Scope, connection: _Connection) -> None:
        async with AsyncExitStack() as stack:
            asgi = {**scope["asgi"], "spec_version": "2.4"}
            state = {**scope.get("state", {}), "exit_stack": stack}
            await self._app({**scope, "asgi": asgi, "state": state}, connection.receive, connection.send)


class _Connection:
    """Passes the messages of one request on, and notes when its client is gone."""

    def __init__(self, receive: Any, send: Any, address: Any, memory: Memory) -> None:
        self._receive, self._send = receive, send
        self._address, self._memory, self._n_bytes = address, memory, 0
        self._has_body, self._gone = asyncio.Event(), asyncio.Event()
        self.is_answered = False  # the last byte of the answer was sent

    async def receive(self) -> Any:
        """The next part of the body. After that nothing comes: whoever waits is cancelled when the client leaves.

        Raises RemoteError(BUSY) where the requests of this client, or of all, take too much memory.
        """
        if self._has_body.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone.set()
            await asyncio.Event().wait()
        size = len(message.get("body", b""))
        self._memory.take(self._address, size, has=self._n_bytes)
        self._n_bytes += size
        if not message.get("more_body", False):
            self._has_body.set()
        return message

    async def send(self, message: Any) -> None:
        """Sends a part of the answer."""
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.is_answered = True
        await self._send(message)

    def release(self) -> None:
        """Counts the body as gone."""
        self._memory.release(self._address, self._n_bytes)

    async def wait_gone(self) -> None:
        """Returns once the client is gone. Does not read the body, which is the application's to read."""
        body, gone = asyncio.ensure_future(self._has_body.wait()), asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({body, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            body.cancel()
            gone.cancel()
        while not self._gone.is_set():
            if (await self._receive())["type"] == "http.disconnect":
                self._gone.set()

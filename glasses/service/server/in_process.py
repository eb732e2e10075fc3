"""A transport to a service in the same process."""

from __future__ import annotations

import asyncio

from glasses.errors import Reason, RemoteError
from glasses.service.server.http_app import QueuePeer
from glasses.service.server.service import Service


class InProcess:
    """Connects to a service on the same event loop. Messages are encoded as on a network, so the same checks apply.
    With `owns` the service is started and closed with the connection.
    """

    def __init__(self, service: Service, *, owns: bool = False) -> None:
        self._service, self._owns, self._peer = service, owns, None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        if self._owns:
            await self._service.start()
        self._peer: QueuePeer | None = QueuePeer("f32")

    async def send(self, data: bytes) -> None:
        if self._peer is None:
            raise RemoteError(Reason.NO_NETWORK, "the connection is closed")
        task = asyncio.create_task(self._service.receive(self._peer, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def receive(self) -> bytes:
        data = await self._peer.unsent.get() if self._peer else None
        if data is None:
            raise RemoteError(Reason.NO_NETWORK, "the connection is closed")
        return data

    async def close(self) -> None:
        if self._peer:
            self._service.detach(self._peer)
            self._peer.unsent.put_nowait(None)
            self._peer = None
            if self._owns:
                await self._service.close()

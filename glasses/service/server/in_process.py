"""A transport to a service in the same process."""

from __future__ import annotations

import asyncio

from glasses.errors import Reason, RemoteError
from glasses.service.server.http_app import QueuePeer
from glasses.service.server.service import Service


class InProcess:
    """Connects to a service on the same event loop. Messages are encoded as on a network, so the same checks apply.
    With `owns` the service is started and closed with the connection; with `ends_sessions` the sessions opened on it
    end with it, instead of staying for a client that may come back. `account` is whose share its work counts to.
    """

    def __init__(self, service: Service, *, owns: bool = False, ends_sessions: bool = False, account: str = "") -> None:
        self._service, self._owns, self._peer = service, owns, None
        self._ends_sessions, self._account = ends_sessions, account
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        if self._owns:
            await self._service.start()
        self._peer: QueuePeer | None = QueuePeer("f32", self._account or None)

    async def send(self, data: bytes) -> None:
        if self._peer is None:
            raise RemoteError(Reason.NO_NETWORK, "the connection is closed")
        task = asyncio.create_task(self._service.receive(self._peer, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def receive(self) -> bytes:
        data = await self._peer.next() if self._peer else None
        if data is None:
            raise RemoteError(Reason.NO_NETWORK, "the connection is closed")
        return data

    async def close(self) -> None:
        if self._peer is None:
            return
        peer, self._peer = self._peer, None
        peer.end()
        if self._ends_sessions:
            for task in list(self._tasks):  # else one of them could still open a session
                task.cancel()
            await self._service.end_sessions(peer)
        else:
            self._service.detach(peer)
        if self._owns:
            await self._service.close()

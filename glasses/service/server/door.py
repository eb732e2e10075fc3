"""The door of the service: connections that ask for nothing do not stay, and are no reason to refuse those that do.

A connection has `HEAD_S` for its TLS handshake, and `HEAD_S` for the head of each request. Connections that wait for
their client are not counted as requests. Only when there are `MAX_CONNECTIONS` of them, the oldest makes room.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from glasses.service.server.clients import Complaints

HEAD_S = 5.0
MAX_CONNECTIONS = 512  # a process may have 1,024 open files by default
MAX_EARLY = 64 << 10  # bytes that a client may send before its last request was answered
_complain = Complaints(logging.getLogger(__name__))


class Door:
    """The open connections of one server, and its TLS context, None for plain TCP."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self._open: dict[asyncio.BaseTransport, Connection] = {}  # the oldest first

    def enter(self, transport: asyncio.Transport, connection: Connection) -> bool:
        """Counts a connection. False if there is no room and no older one that waits for its client."""
        if len(self._open) >= MAX_CONNECTIONS:
            self._open = {old: each for old, each in self._open.items() if not old.is_closing()}
        if len(self._open) >= MAX_CONNECTIONS:
            idle = next((old for old, each in self._open.items() if each.is_idle), None)
            _complain(transport.get_extra_info("peername"), f"connected, over the limit of {MAX_CONNECTIONS}")
            if idle is None:
                return False
            self._open.pop(idle).drop()
        self._open[transport] = connection
        return True

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """Forgets a connection that is closed."""
        self._open.pop(transport, None)

    def close(self) -> None:
        """Drops the connections that wait for their client."""
        for transport, connection in list(self._open.items()):
            if connection.is_idle:
                self.leave(transport)
                connection.drop()


class Connection(H11Protocol):
    """uvicorn's HTTP connection, with a time limit for TLS and heads. It also reads on while a request is worked on, so
    that a client that leaves is noticed though it had sent the next request already.
    """

    def __init__(self, *args: Any, door: Door, **named: Any) -> None:
        super().__init__(*args, **named)
        self._door = door
        self._raw: asyncio.Transport | None = None  # below TLS
        self._timer: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""  # what came before it can be taken
        self._is_websocket = False

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client: for TLS, a head or a body."""
        if self._is_websocket:
            return False
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def drop(self) -> None:
        """Closes the connection at once."""
        self._stop_timer()
        if self._handshake:
            self._handshake.cancel()
        if self._raw:
            self._raw.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        if not self._door.enter(transport, self):
            transport.abort()
            return
        self._start_timer()
        if self._door.tls is None:
            super().connection_made(transport)
        else:
            transport.pause_reading()  # start_tls resumes it
            self._handshake = self.loop.create_task(self._start_tls(transport, self._door.tls))

    async def _start_tls(self, raw: asyncio.Transport, context: ssl.SSLContext) -> None:
        try:
            transport = await self.loop.start_tls(raw, self, context, server_side=True, ssl_handshake_timeout=HEAD_S)
        except OSError:  # of TLS as well; what a stranger says at the door is not worth a line
            transport = None
        if transport is None:
            self._stop_timer()
            self._door.leave(raw)
            raw.abort()
            return
        super().connection_made(transport)
        self._take_early()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._raw:
            self._door.leave(self._raw)
        if self.transport is not None:  # else it was refused
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport is None or self._is_busy:
            self._early += data
            if len(self._early) > MAX_EARLY:
                self.drop()
            return
        super().data_received(data)
        if self._is_websocket or not (self.cycle is None or self.cycle.response_complete):
            self._stop_timer()
        elif self._timer is None:  # from the first byte of a head on, however slowly the others come
            self._start_timer()

    @property
    def _is_busy(self) -> bool:
        """Whether a request is worked on whose body has come."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._take_early()

    def _take_early(self) -> None:
        if self._early and not self.transport.is_closing():
            data, self._early = self._early, b""
            self.data_received(data)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._is_websocket = True
        super().handle_websocket_upgrade(event)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_S, self._late)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._raw:
            _complain(self._raw.get_extra_info("peername"), f"sent no request within {HEAD_S:.0f} s: closed")
        self.drop()

"""How a client reaches a service: over a Unix socket, TCP or TLS. `server.in_process` reaches one in this process."""

from __future__ import annotations

import ssl
from typing import Any, Protocol

import websockets
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import InvalidMessage, WebSocketException

from glasses.errors import InputError, Reason, RemoteError
from glasses.service.protocol import wire

OPEN_TIMEOUT_S = 5.0


class Transport(Protocol):
    """Carries whole messages. Every method raises RemoteError(NO_NETWORK) when the connection is gone; `open` may then
    be called again.
    """

    async def open(self) -> None: ...
    async def send(self, data: bytes) -> None: ...
    async def receive(self) -> bytes: ...
    async def close(self) -> None: ...


class WebSocket:
    """A WebSocket to `address`: unix:PATH, ws://HOST:PORT or wss://HOST:PORT. `tls` verifies the service and may hold a
    client certificate. The service sends arrays as `dtype`. It is given `open_timeout_s` to answer.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        dtype: wire.Dtype = "f32",
        open_timeout_s: float = OPEN_TIMEOUT_S,
    ) -> None:
        if not address.startswith(("unix:", "ws://", "wss://")):
            raise InputError(Reason.BAD_INPUT, f"{address!r}: give unix:PATH, ws://HOST:PORT or wss://HOST:PORT")
        self._address, self._path, self._tls = address, f"/v1/ws?dtype={dtype}", tls
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._ws: ClientConnection | None = None
        self._open_timeout_s = open_timeout_s

    async def open(self) -> None:
        options: dict[str, Any] = {
            "additional_headers": self._headers, "compression": None, "max_size": wire.MAX_MESSAGE_BYTES,
            "open_timeout": self._open_timeout_s, "close_timeout": 1, "ping_interval": 5, "ping_timeout": 5,
        }  # fmt: skip
        try:
            if self._address.startswith("unix:"):
                self._ws = await unix_connect(self._address[5:], "ws://localhost" + self._path, **options)
            else:
                if self._tls:
                    options["ssl"] = self._tls
                self._ws = await connect(self._address + self._path, proxy=None, **options)
        except websockets.InvalidStatus as error:
            status = error.response.status_code
            reason = Reason.REFUSED if status in (401, 403) else Reason.BUSY
            raise RemoteError(reason, f"{self._address} answered HTTP {status}: check the token") from error
        except ssl.SSLCertVerificationError as error:
            raise RemoteError(Reason.REFUSED, f"{self._address}: its certificate is not trusted: {error}") from error
        except (OSError, TimeoutError, WebSocketException) as error:
            hint = ""
            if self._address.startswith("wss:") and isinstance(
                error, InvalidMessage | ConnectionResetError | ssl.SSLError
            ):
                # In TLS 1.3 the handshake ends for the client before the server checks its certificate, and asyncio
                # sends no alert, so a refused certificate looks like a lost connection.
                hint = "; if it asks for client certificates, ours is missing or not of its authority"
            raise RemoteError(Reason.NO_NETWORK, f"cannot reach {self._address}: {error}{hint}") from error

    async def send(self, data: bytes) -> None:
        try:
            if self._ws is None:
                raise RemoteError(Reason.NO_NETWORK, "the connection is closed")
            await self._ws.send(data)
        except WebSocketException as error:
            raise RemoteError(Reason.NO_NETWORK, f"{self._address} is gone: {error}") from error

    async def receive(self) -> bytes:
        try:
            if self._ws is None:
                raise RemoteError(Reason.NO_NETWORK, "the connection is closed")
            data = await self._ws.recv()
        except WebSocketException as error:
            raise RemoteError(Reason.NO_NETWORK, f"{self._address} is gone: {error}") from error
        if isinstance(data, str):
            raise RemoteError(Reason.BAD_INPUT, f"{self._address} sent text: not a latent service")
        return data

    async def close(self) -> None:
        if self._ws:
            await self._ws.close()
            self._ws = None

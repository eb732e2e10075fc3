"""Runs the service under uvicorn, on a Unix socket or on TCP with or without TLS.

Without a token or client certificates it listens on a Unix socket or the loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from glasses.errors import InputError, Reason
from glasses.service.protocol import wire
from glasses.service.server import openapi
from glasses.service.server.auth import App, BearerAuth
from glasses.service.server.client_work import TiedToClient
from glasses.service.server.door import Connection, Door
from glasses.service.server.http_app import make_app
from glasses.service.server.openai.routes import routes
from glasses.service.server.service import Service
from glasses.system.ending import ENDING

MAKE_TOKEN = "to make one: (umask 077; openssl rand -hex 32 > token), then --token-file token"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the service listens, `unix:PATH` or `HOST:PORT` (port 0: any free one), and who may connect."""

    address: str = "127.0.0.1:8765"
    token: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        """Raises InputError: BAD_INPUT for options that do not fit, REFUSED for an open address without access
        control.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InputError(Reason.BAD_INPUT, "--tls-cert and --tls-key go together")
        if self.client_ca and not self.tls_cert:
            raise InputError(Reason.BAD_INPUT, "--client-ca needs --tls-cert and --tls-key")
        if self.token is not None and len(self.token) < 16:
            raise InputError(Reason.BAD_INPUT, f"a token of under 16 characters can be guessed; {MAKE_TOKEN}")
        if self.token is None and self.client_ca is None and not self._is_local():
            raise InputError(
                Reason.REFUSED,
                f"{self.address} can be reached from other machines: give --token-file or --client-ca, "
                f"or listen on 127.0.0.1 or unix:PATH; {MAKE_TOKEN}",
            )

    @property
    def is_for_this_machine(self) -> bool:
        """Whether only the address keeps strangers out: the loopback, without a token or client certificates."""
        return not self.address.startswith("unix:") and self.token is None and self.client_ca is None

    def tls(self) -> ssl.SSLContext | None:
        """The server's side of TLS, None for plain TCP. Raises InputError(BAD_INPUT) for files that cannot be used."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = self.tls_cert
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key)
            if self.client_ca:
                path = self.client_ca
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:
            which = f"--client-ca {path}" if path is self.client_ca else f"--tls-cert {path} with {self.tls_key}"
            raise InputError(Reason.BAD_INPUT, f"{which} cannot be used: {error.strerror or error}") from error
        return context

    def _is_local(self) -> bool:
        if self.address.startswith("unix:"):
            return True
        host, _ = host_port(self.address)
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def host_port(address: str) -> tuple[str, int]:
    """Splits HOST:PORT. Raises InputError(BAD_INPUT)."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535 or not host:
        raise InputError(Reason.BAD_INPUT, f"{address!r} is neither unix:PATH nor HOST:PORT")
    return host.strip("[]"), int(port)


def bind(listen: Listen) -> socket.socket:
    """Opens and binds the socket. A Unix socket gets mode 0600; a dead one that a killed service left is replaced.

    Raises InputError: BUSY if a service listens there already, BAD_INPUT for an address that cannot be bound.
    """
    try:
        if listen.address.startswith("unix:"):
            return _bind_unix(Path(listen.address.removeprefix("unix:")))
        host, port = host_port(listen.address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        raise InputError(Reason.BAD_INPUT, f"cannot listen on {listen.address}: {error.strerror or error}") from error
    return sock


def _bind_unix(path: Path) -> socket.socket:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise InputError(Reason.BUSY, f"{path}: a service listens there already")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    return sock


@asynccontextmanager
async def serving(
    service: Service, listen: Listen, *, owns: bool = True, bound: socket.socket | None = None
) -> AsyncIterator[Running]:
    """Starts the service and listens while the body runs. Raises as `Service.start`, `Listen.tls` and `bind` do.

    Without `owns` the service was started elsewhere and stays open: this is a second place to listen. `bound` is a
    socket that is bound to the address already, and stays the caller's.
    """
    door = Door(listen.tls())
    sock = bound.dup() if bound else bind(listen)
    try:
        if owns:
            await service.start()
        app = TiedToClient(make_app(service, [*routes(service), openapi.route()]), service.memory, service.gate)
        server = _make_server(app, listen, door)
        task = asyncio.create_task(server._serve([sock]))  # its `serve` also handles signals: see `until_signal`
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
            yield Running(_address(sock, listen), task)
        finally:
            server.should_exit = True
            door.close()
            await task
            if owns:
                await service.close()
    finally:
        sock.close()
        if bound is None and listen.address.startswith("unix:"):
            Path(listen.address[5:]).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Running:
    """The address for clients, and the task that ends with the server."""

    address: str
    task: asyncio.Task[None]

    async def until_signal(self) -> int:
        """Waits for Ctrl-C, TERM or HUP, and returns its number; 0 where the server ended without. Main thread only.

        The caller raises it again once everything is closed. Raised in a task, it would leave the event loop at once.
        """
        loop = asyncio.get_running_loop()
        came: asyncio.Future[int] = loop.create_future()
        before = {number: signal.getsignal(number) for number in ENDING}
        handled = [number for number, handler in before.items() if handler is not signal.SIG_IGN]  # as under nohup
        for number in handled:
            loop.add_signal_handler(number, lambda number=number: came.done() or came.set_result(number))
        try:
            await asyncio.wait({came, self.task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])
        return came.result() if came.done() else 0


def _address(sock: socket.socket, listen: Listen) -> str:
    if listen.address.startswith("unix:"):
        return listen.address
    host, port = sock.getsockname()[:2]
    return f"{'wss' if listen.tls_cert else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}"


def _make_server(app: App, listen: Listen, door: Door) -> uvicorn.Server:
    """A uvicorn server for `app` behind `door`, which does TLS: uvicorn itself waits a minute for a handshake."""
    config = uvicorn.Config(
        BearerAuth(app, listen.token, checks_host=listen.is_for_this_machine),
        http=partial(Connection, door=door),  # type: ignore[arg-type]  # called like the class
        ws="websockets-sansio",
        ws_max_size=wire.MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # latents hardly compress, and a small frame could expand to a large one
        ws_ping_interval=10.0,
        ws_ping_timeout=10.0,
        timeout_graceful_shutdown=3,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return uvicorn.Server(config)

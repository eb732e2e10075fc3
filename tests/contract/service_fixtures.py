"""One real service in a thread, reached in process, over a Unix socket and over TCP + TLS. No fakes."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import small_gguf
import trustme

from glasses.app import Parts, open_parts
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import PREFIX
from glasses.service.client import Client
from glasses.service.server import Listen, serving
from glasses.service.service import Caps, Service
from glasses.service.transport import InProcess, Transport, WebSocket

TOKEN = "a token for tests only"
_T = TypeVar("_T")


@dataclass
class Served:
    """`service` on its own event loop; `addresses` where it listens besides."""

    loop: asyncio.AbstractEventLoop
    service: Service
    addresses: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None

    def transport(self, way: str) -> Transport:
        if way == "in process":
            return InProcess(self.service)
        return WebSocket(self.addresses[way], token=TOKEN, tls=self.tls if way == "tls" else None)

    def run(self, scenario: Coroutine[Any, Any, _T], timeout_s: float = 600) -> _T:
        return asyncio.run_coroutine_threadsafe(scenario, self.loop).result(timeout_s)

    def with_client(self, way: str, scenario: Callable[[Client], Coroutine[Any, Any, _T]], **options: Any) -> _T:
        async def run() -> _T:
            async with Client(self.transport(way), **options) as client:
                try:
                    return await scenario(client)
                finally:
                    for session in list(client._sessions.values()):
                        await session.close()

        return self.run(run())


@contextmanager
def served(make_service: Callable[[], Service], folder: Path) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()
    try:
        yield asyncio.run_coroutine_threadsafe(_start(loop, stack, make_service, folder), loop).result(600)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(
    loop: asyncio.AbstractEventLoop, stack: AsyncExitStack, make_service: Callable[[], Service], folder: Path
) -> Served:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    made = Served(loop, make_service(), tls=tls)
    unix = await stack.enter_async_context(serving(made.service, Listen(f"unix:{folder}/s", TOKEN)))
    listen = Listen("127.0.0.1:0", TOKEN, chain, key)
    over_tls = await stack.enter_async_context(serving(made.service, listen, owns=False))
    made.addresses = {"unix": unix.address, "tls": over_tls.address}
    return made


def small_parts(gguf_path: Path, folder: Path) -> tuple[Parts, Path]:
    """The pocket bundle around a backbone of three layers, to be called on the thread that will own it."""
    gguf = folder / "small.gguf"
    if not gguf.exists():
        small_gguf.write(gguf_path, gguf)
    parts = open_parts(n_threads=1)
    parts.close()
    backbone = LlamaBackbone(gguf, n_ctx=1024, n_threads=1)
    backbone.feed([backbone.tokenize(PREFIX)])
    return replace(parts, backbone=backbone, n_prefix=backbone.n_past), gguf


def small_caps() -> Caps:
    return Caps(sessions=6, linger_s=20.0)

"""A real service in a thread, for tests of all transports.

It is reached in process, over a Unix socket, over TCP + TLS with a bearer token, and over TCP + mutual TLS without one.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import trustme

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.service.client.client import Client
from glasses.service.client.transport import Transport, WebSocket
from glasses.service.engines.engine import Engine
from glasses.service.engines.llama import LlamaEngine
from glasses.service.server.in_process import InProcess
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service
from glasses.types import Token
from tests.contract import small_gguf

TOKEN = "a token for tests only"
_T = TypeVar("_T")


@dataclass
class Served:
    """A service on its own event loop. `addresses`: where it listens; `folder`: where its files are."""

    loop: asyncio.AbstractEventLoop
    service: Service
    folder: Path
    addresses: dict[str, str] = field(default_factory=dict)
    tls: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def transport(self, way: str) -> Transport:
        if way == "in process":
            return InProcess(self.service)
        return WebSocket(self.addresses[way], token=None if way == "mutual tls" else TOKEN, tls=self.tls.get(way))

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
    chain, key = _written(authority.issue_cert("127.0.0.1"), folder / "service")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    tls, mutual = ssl.create_default_context(), ssl.create_default_context()
    for context in (tls, mutual):
        authority.configure_trust(context)
    mutual.load_cert_chain(*_written(authority.issue_cert("glasses.example"), folder / "glasses"))
    made = Served(loop, make_service(), folder, tls={"tls": tls, "mutual tls": mutual})
    listens = {
        "unix": Listen(f"unix:{folder}/s", TOKEN),
        "tls": Listen("127.0.0.1:0", TOKEN, chain, key),
        "mutual tls": Listen("127.0.0.1:0", None, chain, key, folder / "ca.pem"),
    }
    for i, (way, listen) in enumerate(listens.items()):
        running = await stack.enter_async_context(serving(made.service, listen, owns=i == 0))
        made.addresses[way] = running.address
    return made


def _written(certificate: trustme.LeafCert, stem: Path) -> tuple[Path, Path]:
    """Writes a certificate's chain and key; returns both files."""
    chain, key = stem.with_suffix(".chain.pem"), stem.with_suffix(".key.pem")
    certificate.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return chain, key


def small_parts(gguf_path: Path, folder: Path) -> tuple[LoadedBundle, Path]:
    """The pocket bundle around a backbone of three layers, to be called on the thread that will own it."""
    gguf = folder / "small.gguf"
    if not gguf.exists():
        small_gguf.write(gguf_path, gguf)
    loaded = open_bundle(n_threads=1)
    loaded.close()
    backbone = LlamaBackbone(gguf, n_ctx=1024, n_threads=1)
    backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
    return replace(loaded, backbone=backbone, n_prefix=backbone.n_past), gguf


def small_caps() -> Caps:
    return Caps(sessions=6, linger_s=20.0)


def small_llama(gguf_path: Path, folder: Path) -> Callable[[], Engine]:
    """Opens the small backbone in llama.cpp."""
    return lambda: LlamaEngine(small_parts(gguf_path, folder)[0])


def small_torch(gguf_path: Path, folder: Path) -> Callable[[], Engine]:
    """Opens the small backbone in torch, float32."""
    import torch  # noqa: PLC0415  # pyright: ignore[reportMissingImports]  (the extra `train`)

    from glasses.service.engines.torch.engine import load_model  # noqa: PLC0415
    from glasses.service.engines.torch.gradient_api import TorchGradientEngine  # noqa: PLC0415

    def open_engine() -> Engine:
        loaded, gguf = small_parts(gguf_path, folder)
        return TorchGradientEngine(loaded, load_model(gguf, dtype=torch.float32))

    return open_engine


def greedy_torch(engine: Any, text: str, n: int, top_k: int) -> list[Token]:
    """The likeliest continuation by plain transformers: the whole sequence every time, no cache."""
    import torch  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    backbone, made = engine.loaded.backbone, list[Token]()
    ids = backbone.tokenize(text)
    while not made or not made[-1].last:
        with torch.no_grad():
            logprobs = engine.model(torch.tensor([ids])).logits[0, -1].log_softmax(0)
        token = int(logprobs.argmax())
        best = [(int(i), float(logprobs[i])) for i in logprobs.topk(top_k).indices]
        last = token in backbone.eos or len(made) == n - 1
        made.append(Token(1, token, backbone.detokenize([token]), best[0][1], None, last, tuple(best)))
        ids.append(token)
    return made

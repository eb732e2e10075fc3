"""The synchronous client: `client.Client` on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from glasses.service.client.client import Client, RemoteSession
from glasses.service.client.transport import Transport
from glasses.service.protocol import wire
from glasses.service.protocol.events import Description, TokenList
from glasses.service.protocol.messages import Example, TokenRequest
from glasses.service.protocol.packing import Input
from glasses.types import Float32Array, Token

_T = TypeVar("_T")


class SyncClient:
    """Opened by `with SyncClient(make_transport)`; `make_transport` is called on the client's event loop."""

    def __init__(
        self, make_transport: Callable[[], Transport], *, dtype: wire.Dtype = "f32", resume_s: float = 10.0
    ) -> None:
        self._make = lambda: Client(make_transport(), dtype=dtype, resume_s=resume_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="latent client", daemon=True)
        self.asynchronous: Client

    def __enter__(self) -> Self:
        self._thread.start()

        async def enter() -> Client:
            return await self._make().__aenter__()

        try:
            self.asynchronous = self.wait(enter())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self.asynchronous.__aexit__())
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Runs a call of the asynchronous client and returns its result."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C ends the call as well
            raise

    def describe(self) -> Description:
        return self.wait(self.asynchronous.describe())

    def open(self, *, chat: bool = True, latents: bool = False) -> SyncSession:
        return SyncSession(self, self.wait(self.asynchronous.open(chat=chat, latents=latents)))

    def tokens(self, request: TokenRequest) -> TokenList:
        return self.wait(self.asynchronous.tokens(request))

    def tokenize(self, text: str, *, special: bool = False) -> tuple[list[int], Float32Array]:
        return self.wait(self.asynchronous.tokenize(text, special=special))

    def train_tokens(self, examples: Sequence[Example]) -> TokenList:
        return self.wait(self.asynchronous.train_tokens(examples))


@dataclass(frozen=True, slots=True)
class SyncSession:
    """The methods of `RemoteSession`, as blocking calls."""

    client: SyncClient
    asynchronous: RemoteSession

    @property
    def n_past(self) -> int:
        return self.asynchronous.n_past

    @property
    def question(self) -> str:
        return self.asynchronous.question

    def feed(self, *inputs: Input) -> int:
        return self.client.wait(self.asynchronous.feed(*inputs))

    def generate(self, *, max_tokens: int = 64, **params: Any) -> Iterator[Token]:
        tokens = self.asynchronous.generate(max_tokens=max_tokens, **params)

        async def one() -> Token | None:
            return await anext(tokens, None)

        async def leave() -> None:
            await tokens.aclose()  # type: ignore[attr-defined]  # an async generator

        try:
            while (token := self.client.wait(one())) is not None:
                yield token
        finally:
            self.client.wait(leave())

    def act(self) -> tuple[str, str] | None:
        return self.client.wait(self.asynchronous.act())

    def cancel(self) -> None:
        self.client.wait(self.asynchronous.cancel())

    def rollback(self, n_past: int) -> int:
        return self.client.wait(self.asynchronous.rollback(n_past))

    def branch(self) -> SyncSession:
        return SyncSession(self.client, self.client.wait(self.asynchronous.branch()))

    def close(self) -> None:
        self.client.wait(self.asynchronous.close())

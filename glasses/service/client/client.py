"""The asynchronous client of a model service in this process, on this machine or on another one.

When the connection is lost, the client reconnects for up to `resume_s`. It then repeats the requests that were not
answered, and receives the tokens that it missed, each once. A service that was restarted has lost its sessions: their
calls raise RemoteError(NOT_FOUND).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
import numpy as np

from glasses.errors import GlassesError, Reason, RemoteError
from glasses.service.client.transport import Transport
from glasses.service.protocol import events, messages, wire
from glasses.service.protocol.events import Description, Event, Failed, Opened, TokenEvent, TokenList
from glasses.service.protocol.messages import Example, GenerationParams
from glasses.service.protocol.packing import Input, pack, reason_of, token_of
from glasses.types import Float32Array, Token

_events: wire.Decoder[Event] = wire.Decoder(Event)
_RETRY_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


@dataclass(slots=True)
class _Call:
    data: bytes
    future: asyncio.Future[tuple[Event, list[Float32Array]]]
    session: str = ""


class Client:
    """One connection, opened by `async with Client(transport)`. Arrays are sent as `dtype`."""

    def __init__(self, transport: Transport, *, dtype: wire.Dtype = "f32", resume_s: float = 10.0) -> None:
        self._transport, self._resume_s = transport, resume_s
        self._dtype: wire.Dtype = dtype
        self._calls: dict[int, _Call] = {}
        self._sessions: dict[str, RemoteSession] = {}
        self._rid = 0
        self._up = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._lost: RemoteError | None = None

    async def __aenter__(self) -> Self:
        await self._transport.open()
        self._up.set()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._fail(RemoteError(Reason.ABORTED, "the client was closed"))
        await self._transport.close()

    async def describe(self) -> Description:
        """Asks what the service is and can do."""
        event, _ = await self.call(messages.Describe(self.next_rid()))
        assert isinstance(event, Description)
        return event

    async def ping(self) -> None:
        """Makes one round trip."""
        await self.call(messages.Ping(self.next_rid()))

    @property
    def lost(self) -> bool:
        """Whether the client gave up on the connection."""
        return self._lost is not None

    async def open(self, *, chat: bool = True, latents: bool = False) -> RemoteSession:
        """Opens a session. Raises RemoteError(BUSY)."""
        event, _ = await self.call(messages.Open(self.next_rid(), chat, latents, secrets.token_urlsafe(12)))
        return self._adopt(event)

    async def tokens(self, request: messages.TokenRequest) -> TokenList:
        """The Tokenizer API: `messages.AddToken`, `TrainTokens`, `RemoveToken`, `ListTokens`; their rid is set here."""
        event, _ = await self.call(msgspec.structs.replace(request, rid=self.next_rid()))
        assert isinstance(event, TokenList)
        return event

    async def tokenize(self, text: str, *, special: bool = False) -> tuple[list[int], Float32Array]:
        """Token ids of `text`, and their input rows (n, n_embd)."""
        event, arrays = await self.call(messages.Tokenize(self.next_rid(), text, special, True))
        assert isinstance(event, events.Tokenized)
        return event.ids, arrays[0] if arrays else np.zeros((0, 0), np.float32)

    async def train_tokens(self, examples: Sequence[Example]) -> TokenList:
        """Trains the added tokens. The examples must call each of them, and some must call none."""
        return await self.tokens(messages.TrainTokens(0, list(examples)))

    def next_rid(self) -> int:
        self._rid += 1
        return self._rid

    async def call(
        self, request: Any, arrays: Sequence[Float32Array] = (), session: str = ""
    ) -> tuple[Event, list[Float32Array]]:
        """Sends a request and waits for its answer. Raises RemoteError with the service's reason."""
        if self._lost:
            raise self._lost
        data = wire.encode(request, arrays, self._dtype)
        call = _Call(data, asyncio.get_running_loop().create_future(), session)
        self._calls[request.rid] = call
        try:
            if self._up.is_set():  # else it is sent with all others once the connection is back
                with suppress(RemoteError):  # the reader sees the lost connection and reconnects
                    await self._transport.send(data)
            event, got = await call.future
        finally:
            self._calls.pop(request.rid, None)
        if isinstance(event, Failed):
            raise RemoteError(reason_of(event.reason), event.message)
        return event, got

    def _adopt(self, event: Event) -> RemoteSession:
        assert isinstance(event, Opened)
        session = RemoteSession(self, event.session, event.n_past)
        self._sessions[event.session] = session
        return session

    async def _read(self) -> None:
        while True:
            try:
                event, arrays = _events.decode(await self._transport.receive())
            except RemoteError as error:
                if not await self._reconnect(error):
                    return
                continue
            except GlassesError as error:
                self._fail(RemoteError(error.reason, f"the service sent what cannot be read: {error}"))
                return
            if isinstance(event, TokenEvent):
                if event.session in self._sessions:
                    self._sessions[event.session].take(event, arrays)
            elif (call := self._calls.get(getattr(event, "rid", None) or -1)) and not call.future.done():
                call.future.set_result((event, arrays))

    async def _reconnect(self, error: RemoteError) -> bool:
        """True once the connection is back and everything is resumed; False if that failed for `resume_s`."""
        self._up.clear()
        loop = asyncio.get_running_loop()
        until, attempt = loop.time() + self._resume_s, 0
        while loop.time() < until and error.reason is Reason.NO_NETWORK:
            try:
                with suppress(RemoteError):
                    await self._transport.close()
                await self._transport.open()
                await self._resume()
            except RemoteError as again:
                error = again
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                return True
        self._fail(error)
        return False

    async def _resume(self) -> None:
        for session in list(self._sessions.values()):
            request = messages.Attach(self.next_rid(), session.id, session.generation, session.have)
            call = _Call(b"", asyncio.get_running_loop().create_future(), session.id)
            call.future.add_done_callback(session.reattached)
            self._calls[request.rid] = call
            await self._transport.send(wire.encode(request))
        self._up.set()
        for _, call in sorted(self._calls.items()):
            if call.data and not call.future.done():
                await self._transport.send(call.data)

    def forget(self, session: str, error: RemoteError) -> None:
        """Drops a session that is gone; its waiting calls raise `error`."""
        self._sessions.pop(session, None)
        for call in self._calls.values():
            if call.session == session and not call.future.done():
                call.future.set_exception(error)

    def _fail(self, error: RemoteError) -> None:
        self._lost = error
        for session in list(self._sessions.values()):
            session.fail(error)
        for call in self._calls.values():
            if not call.future.done():
                call.future.set_exception(error)
                call.future.exception()  # marks it as seen: nobody may be waiting any more


@dataclass(slots=True, eq=False)
class RemoteSession:
    """One conversation. A request may be sent before the last one was answered; the service does them in order."""

    client: Client
    id: str
    n_past: int
    generation: int = 0
    have: int = 0  # tokens of the running generation that arrived
    end: str | None = None  # why the last generation ended, as events.TokenEvent says it
    _seq: int = 0
    _tokens: asyncio.Queue[tuple[TokenEvent, Float32Array | None] | RemoteError] = field(default_factory=asyncio.Queue)

    async def feed(self, *inputs: Input) -> int:
        """Appends inputs to the context, which the backbone reads at once; returns the rows in the context. Raises
        RemoteError.
        """
        arrays: list[Float32Array] = []
        parts = pack(inputs, arrays)
        return await self._done(messages.Feed(self.client.next_rid(), self.id, self._next(), parts), arrays)

    async def rollback(self, n_past: int) -> int:
        """Removes the rows from `n_past` on, after cancelling a running generation."""
        return await self._done(messages.Rollback(self.client.next_rid(), self.id, self._next(), n_past))

    async def branch(self) -> RemoteSession:
        """Opens a second session with the same context."""
        request = messages.Branch(self.client.next_rid(), self.id, self._next())
        event, _ = await self.client.call(request, session=self.id)
        return self.client._adopt(event)

    async def cancel(self) -> None:
        """Stops the running request; a generation then ends with a last, empty token."""
        await self.client.call(messages.Cancel(self.client.next_rid(), self.id), session=self.id)

    async def close(self) -> None:
        """Ends the session; does nothing if it is gone already."""
        with suppress(RemoteError):
            await self.client.call(messages.Close(self.client.next_rid(), self.id), session=self.id)
        self.client._sessions.pop(self.id, None)

    async def generate(self, *, max_tokens: int = 64, **params: Any) -> AsyncGenerator[Token, None]:
        """Streams the answer; `params` are the fields of `messages.GenerationParams`. Leaving the loop early cancels
        the generation. Raises RemoteError.
        """
        self.generation, self.have, self._tokens, self.end = self.generation + 1, 0, asyncio.Queue(), None
        request = messages.Generate(
            self.client.next_rid(), self.id, self._next(), GenerationParams(self.generation, max_tokens, **params)
        )
        call = asyncio.create_task(self._done(request))
        call.add_done_callback(self._ended)
        last = False
        try:
            while not last:
                item = await self._tokens.get()
                if isinstance(item, RemoteError):
                    raise item
                event, latent = item
                last, self.end = event.end is not None, event.end
                yield token_of(event, latent)
            await call
        finally:
            if not last:
                call.cancel()
                with suppress(RemoteError):
                    await self.cancel()

    def take(self, event: TokenEvent, arrays: list[Float32Array]) -> None:
        """Takes a token that arrived; drops one of an earlier generation, or that arrived before."""
        if event.generation != self.generation or event.index != self.have:
            return
        self.have += 1
        self._tokens.put_nowait((event, None if event.array is None else arrays[event.array]))

    def reattached(self, future: asyncio.Future[tuple[Event, list[Float32Array]]]) -> None:
        """Takes the answer to Attach after a reconnect: ends the session if the service does not know it."""
        if not future.cancelled() and future.exception() is None and isinstance(event := future.result()[0], Failed):
            self.fail(RemoteError(reason_of(event.reason), event.message))

    def fail(self, error: RemoteError) -> None:
        """Ends the session with `error`."""
        self._tokens.put_nowait(error)
        self.client.forget(self.id, error)

    def _ended(self, call: asyncio.Task[int]) -> None:
        if not call.cancelled() and isinstance(error := call.exception(), RemoteError):
            self._tokens.put_nowait(error)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    async def _done(self, request: Any, arrays: Sequence[Float32Array] = ()) -> int:
        event, _ = await self.client.call(request, arrays, self.id)
        self.n_past = getattr(event, "n_past", self.n_past)
        return self.n_past

"""The asynchronous client of a model service in this process, on this machine or on another one.

When the connection is lost, the client reconnects for up to `resume_s`. It then repeats the requests that were not
answered, and receives the tokens that it missed, each once. A service that was restarted has lost its sessions: their
calls raise RemoteError(NOT_FOUND).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np

from glasses.errors import GlassesError, Reason, RemoteError
from glasses.service.client.remote_session import RemoteSession
from glasses.service.client.transport import Transport
from glasses.service.protocol import events, messages, wire
from glasses.service.protocol.events import Description, Event, Failed, Opened, TokenEvent, TokenList
from glasses.service.protocol.messages import Example
from glasses.service.protocol.packing import reason_of
from glasses.service.protocol.tool_messages import ToolCall, ToolOffer
from glasses.types import Float32Array

_events: wire.Decoder[Event] = wire.Decoder(Event)
_RETRY_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0)


async def _no_tool(call: ToolCall) -> tuple[str, bool]:
    return "That did not work.", True


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
        self._is_lost = asyncio.Event()
        self.on_tool_call = _no_tool  # answers a call with a sentence, and whether it failed
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._transport.open()
        self._up.set()
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        for task in self._answering:
            task.cancel()
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

    async def offer_tools(self, tools: Sequence[ToolOffer]) -> None:
        """Brings tools to the wearer, for as long as this connection lasts; `on_tool_call` is asked for each call.

        Raises RemoteError: UNSUPPORTED where these are no worn glasses, BUSY for a name that is taken, BAD_INPUT.
        """
        await self.call(messages.OfferTools(self.next_rid(), list(tools)))

    async def wait_lost(self) -> None:
        """Waits until the client has given up on the connection. Raises RemoteError: why."""
        await self._is_lost.wait()
        if self._lost:
            raise self._lost

    async def _answer(self, call: ToolCall) -> None:
        said, failed = await self.on_tool_call(call)
        with suppress(RemoteError):  # the call has ended without us
            await self.call(messages.ToolResult(self.next_rid(), call.call, said, failed))

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
            if isinstance(event, ToolCall):
                task = asyncio.create_task(self._answer(event))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
            elif isinstance(event, TokenEvent):
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
        self._is_lost.set()
        for session in list(self._sessions.values()):
            session.fail(error)
        for call in self._calls.values():
            if not call.future.done():
                call.future.set_exception(error)
                call.future.exception()  # marks it as seen: nobody may be waiting any more

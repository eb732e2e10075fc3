"""One conversation with a service; see `Client.open`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glasses.errors import RemoteError
from glasses.service.protocol import messages
from glasses.service.protocol.events import Acted, Event, Failed, TokenEvent
from glasses.service.protocol.messages import GenerationParams
from glasses.service.protocol.packing import Input, pack, reason_of, token_of
from glasses.types import Float32Array, Token

if TYPE_CHECKING:
    from glasses.service.client.client import Client


@dataclass(slots=True, eq=False)
class RemoteSession:
    """One conversation. A request may be sent before the last one was answered; the service does them in order."""

    client: Client
    id: str
    n_past: int
    generation: int = 0
    have: int = 0  # tokens of the running generation that arrived
    end: str | None = None  # why the last generation ended, as events.TokenEvent says it
    question: str = ""  # after a feed of a chat: what is put where nothing was asked so far
    _seq: int = 0
    _tokens: asyncio.Queue[tuple[TokenEvent, Float32Array | None] | RemoteError] = field(default_factory=asyncio.Queue)

    async def feed(self, *inputs: Input) -> int:
        """Appends inputs to the context, which the backbone reads at once; returns the rows in the context. Raises
        RemoteError.
        """
        arrays: list[Float32Array] = []
        parts = pack(inputs, arrays)
        return await self._done(messages.Feed(self.client.next_rid(), self.id, self._next(), parts), arrays)

    async def act(self) -> tuple[str, str] | None:
        """Does what the turn that was fed asks for, where it asks for a tool of the wearer's glasses: the tool's name
        and its sentence, which ends the turn. None where it asks for none: `generate` answers it.

        Raises RemoteError: UNSUPPORTED where no tools are called for apps, REFUSED where the wearer does not let apps
        act, BUSY.
        """
        request = messages.Act(self.client.next_rid(), self.id, self._next())
        event, _ = await self.client.call(request, session=self.id)
        assert isinstance(event, Acted)
        self.n_past = event.n_past
        return (event.tool, event.said) if event.tool else None

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
        self.question = getattr(event, "question", "")
        return self.n_past

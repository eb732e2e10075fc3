"""One turn, answered here or far away, once. Knows the Latent API's client and the policy; no sensor, no model.

Parts go to both places as they are made, unless nothing may leave. The answer comes from one place at a time: a lost
or silent remote is left for good and the local session goes on after what was already said, so the wearer hears one
answer whatever happens to the link. Pieces of a generation that was left are dropped by its number (client.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from glasses.errors import Reason, RemoteError
from glasses.offload.policy import Decision, Limits, Signals, decide, entropy_nats
from glasses.offload.remote import Remote, measured_feed, size_bytes
from glasses.service.client.client import Client, RemoteSession
from glasses.service.protocol.packing import Input
from glasses.types import Token

log = logging.getLogger(__name__)
TOP_K = 16  # of the local first piece, for its entropy
STALL_S = 0.8  # without a piece in the middle of a reply: the remote is gone


class Local(Protocol):
    """What a turn asks of this device; a RemoteSession of a service in this process, or `beside`'s."""

    @property
    def n_past(self) -> int: ...
    async def feed(self, *given: Input) -> int: ...
    async def rollback(self, n_past: int) -> int: ...
    async def close(self) -> None: ...
    def generate(self, *, max_tokens: int = 64, **how: Any) -> AsyncIterator[Token]: ...


@dataclass(slots=True)
class OffloadedTurn:
    """`feed` what is made, then `answer` once. `signals` are the wearer's and the board's; the link's are filled in."""

    id: int
    local: Local
    remote: Remote
    signals: Signals
    limits: Limits = field(default_factory=Limits)
    decision: Decision | None = None
    switched_ms: float | None = None  # from the remote's last sign of life to the first local piece, where it was left
    _n_fed: int = 0  # rows of the local context before any answer
    _far: RemoteSession | None = None
    _sender: asyncio.Task[None] | None = None
    _outbox: asyncio.Queue[Input | None] = field(default_factory=asyncio.Queue)
    _unsent_bytes: int = 0
    _said: str = ""

    @classmethod
    async def begin(cls, id: int, local: Client, remote: Remote, signals: Signals, limits: Limits) -> OffloadedTurn:
        """Opens a session here, and in the background one far away."""
        turn = cls(id, await local.open(), remote, signals, limits)
        turn.start()
        return turn

    def start(self) -> None:
        """Opens the session far away, in the background; where nothing may leave, none."""
        if self.signals.privacy != "nothing leaves" and not self.signals.local_only:
            self._sender = asyncio.create_task(self._send())

    async def feed(self, given: Input) -> None:
        """One part, as soon as it is made. Raises RemoteError where even this device cannot take it."""
        if self._sender:
            self._unsent_bytes += size_bytes(given)
            self._outbox.put_nowait(given)
        self._n_fed = await self.local.feed(given)

    async def answer(self, *, max_tokens: int = 64) -> AsyncIterator[Token]:
        """The pieces of one answer; exactly the last has `last` set. Raises RemoteError only of the local session."""
        self._outbox.put_nowait(None)
        self._n_fed = self._n_fed or self.local.n_past
        meter, connected = self.remote.meter, self.remote.connected and self._sender is not None
        link = {"rtt_ms": meter.rtt_ms, "bytes_per_s": meter.bytes_per_s, "to_send_bytes": self._unsent_bytes}
        self.decision = decide(replace(self.signals, connected=connected, **link), self.limits)
        log.info("turn %d %s", self.id, self.decision.why)
        try:
            async for piece in self._answer(time.monotonic(), max_tokens):
                yield replace(piece, turn_id=self.id)
        finally:
            await self._close()

    async def _answer(self, began: float, max_tokens: int) -> AsyncIterator[Token]:
        assert self.decision is not None
        left_s = self.signals.remaining_ms / 1000
        if self.decision.place == "local":
            async for piece in self.local.generate(max_tokens=max_tokens):
                yield piece
            return
        far = self._far_pieces(max_tokens)
        first: asyncio.Task[Token | None] = asyncio.create_task(_next(far))
        near, mine, sure, reserve_s = None, None, False, self.limits.reserve_ms / 1000
        try:
            if self.decision.place == "hedge":
                near = self.local.generate(max_tokens=max_tokens, top_k=TOP_K)
                mine = await anext(near)
                sure = entropy_nats(mine.top) < self.limits.sure_nats
                reserve_s = 0.0  # the local answer is under way
            wait_s = 0.0 if sure else max(0.0, left_s - reserve_s - (time.monotonic() - began))
            piece = await _within(first, wait_s)
        except BaseException:  # this device failed, or nobody waits any more: then not there either
            self.remote.later(_drop(first, far))
            raise
        if piece is not None:
            log.info("turn %d answered far away", self.id)
            if near is not None:
                await near.aclose()  # type: ignore[attr-defined]  # an async generator: cancels
            async for made in self._follow(piece, far, max_tokens):
                yield made
            return
        log.info("turn %d answered here: %s", self.id, "sure" if sure else "the remote gave nothing in time")
        self.remote.later(_drop(first, far))  # telling it to stop may take as long as its link is slow, or for ever
        if near is None:
            near = self.local.generate(max_tokens=max_tokens)
            mine = await anext(near)
        assert mine is not None
        yield mine
        async for made in near:
            yield made

    async def _follow(self, piece: Token | None, far: AsyncIterator[Token], max_tokens: int) -> AsyncIterator[Token]:
        """The remote's answer from its first piece on; where it breaks off, the local one from there."""
        n_made, alive = 0, time.monotonic()
        while piece is not None:
            n_made, alive = n_made + 1, time.monotonic()
            self._said += piece.text
            yield piece
            if piece.last:
                return
            following: asyncio.Task[Token | None] = asyncio.create_task(_next(far))
            piece = await _within(following, STALL_S)
            if piece is None:
                self.remote.later(_drop(following, far))
        self.remote.broke()
        log.warning("turn %d: the remote broke off after %d pieces; going on here", self.id, n_made)
        async for made in self._go_on(max(1, max_tokens - n_made)):
            if self.switched_ms is None:
                self.switched_ms = 1000 * (time.monotonic() - alive)
            yield made

    async def _go_on(self, max_tokens: int) -> AsyncIterator[Token]:
        """The local answer after what was said; a hedged one that was under way is forgotten first."""
        await self.local.rollback(self._n_fed)
        async for piece in self.local.generate(max_tokens=max_tokens, said=self._said):
            yield piece

    async def _send(self) -> None:
        """Everything to the remote, in order; a failure is noticed where the answer is waited for."""
        client = self.remote.client
        if client is None:
            return
        try:
            self._far = await client.open()
            while (given := await self._outbox.get()) is not None:
                await measured_feed(self.remote, self._far, given)
                self._unsent_bytes -= size_bytes(given)
        except RemoteError as error:
            self._give_up(error)

    async def _far_pieces(self, max_tokens: int) -> AsyncIterator[Token]:
        if self._sender:
            await self._sender
        if self._far is None:
            return
        try:
            async for piece in self._far.generate(max_tokens=max_tokens):
                yield piece
        except RemoteError as error:
            self._give_up(error)

    def _give_up(self, error: RemoteError) -> None:
        log.info("turn %d has no remote: %s", self.id, error)
        self._far = None
        if error.reason in (Reason.NO_NETWORK, Reason.ABORTED):
            self.remote.broke()

    async def _close(self) -> None:
        if self._sender:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self.local.close()
        if self._far is not None and self.remote.connected and self.remote.client is self._far.client:
            self.remote.later(self._far.close())


async def _next(pieces: AsyncIterator[Token]) -> Token | None:
    return await anext(pieces, None)


async def _within(task: asyncio.Task[Token | None], seconds: float) -> Token | None:
    """Its result, or None where it takes longer; a result that is there already counts with no time at all."""
    await asyncio.wait({task}, timeout=seconds)
    return task.result() if task.done() else None


async def _drop(task: asyncio.Task[Token | None], pieces: AsyncIterator[Token]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await pieces.aclose()  # type: ignore[attr-defined]

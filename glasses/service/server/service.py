"""The three APIs over one engine: answers the messages of any peer. Does NOT know HTTP, sockets or passwords."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

from glasses import __version__
from glasses.errors import GlassesError, InputError, Reason, RemoteError
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.llama import Ability, Context, Engine
from glasses.service.protocol import events, messages, wire
from glasses.service.protocol.events import Description, Done, Event, Failed, Opened
from glasses.service.protocol.messages import Attach, Cancel, Close, Describe, Once, Open
from glasses.service.server.session import Send, Session
from glasses.service.server.worker import Worker
from glasses.service.tokens import added_tokens
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.service.tokens.tokens_api import TokensAPI
from glasses.types import Float32Array

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_requests: wire.Decoder[messages.Request] = wire.Decoder(messages.Request)


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits that protect memory and time; a session costs up to 23 KB a row (SmolLM2-135M)."""

    sessions: int = 8
    linger_s: float = 60.0  # how long a session waits for its lost connection
    idle_s: float = 600.0  # how long a connected one may do nothing


class Peer(Protocol):
    """One connection. `key` names it in the fair queue, `dtype` is how arrays go to it."""

    key: str
    dtype: wire.Dtype

    def send(self, data: bytes) -> None:
        """Never waits; drops the connection where it cannot keep up."""
        ...


class Service:
    """Opened by `start`; everything but the engine's own work happens on the event loop that started it."""

    def __init__(
        self, open_engine: Callable[[], Engine], *, backend: str, tokens: Path | None = None, caps: Caps = Caps()
    ) -> None:
        self._open_engine, self._backend, self._tokens_path, self._caps = open_engine, backend, tokens, caps
        self._worker, self._tokens = Worker(), TokensAPI(tokens)
        self._sessions: dict[str, Session] = {}
        self._running = ""
        self._janitor: asyncio.Task[None] | None = None
        self.added: AddedTokens
        self.engine: Engine

    @property
    def models(self) -> LoadedBundle:
        return self.engine.parts

    async def start(self) -> None:
        """Opens the engine on the worker's thread. Raises as `open_engine` does, and as `added_tokens.load`."""
        self.engine = await self._worker.run("start", self._open_engine)
        backbone = self.models.backbone
        sizes = (backbone.n_vocab, backbone.n_embd)
        if self._tokens_path:
            self.added = added_tokens.load(self._tokens_path, backbone.sha256, *sizes)
        else:
            self.added = AddedTokens.empty(*sizes)
        self._janitor = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        """Ends every session and frees the engine."""
        if self._janitor:
            self._janitor.cancel()
        for session in list(self._sessions.values()):
            await self._end(session)
        await self._worker.close(self.engine.close)

    async def run(self, key: str, function: Callable[[], _T]) -> _T:
        """`function` on the engine's thread, in turn. Raises what it raises, and RemoteError(BUSY)."""

        def guarded() -> _T:
            self._running = key
            self.engine.clear_abort()
            try:
                return function()
            finally:
                self._running = ""

        return await self._worker.run(key, guarded)

    def abort(self, key: str) -> None:
        """Ends what the engine does for `key`, if it is at it."""
        if self._running == key:
            self.engine.abort()

    @staticmethod
    def decode(data: bytes) -> tuple[messages.Request, list[Float32Array]]:
        """Raises InputError as `wire.Decoder.decode` does."""
        return _requests.decode(data)

    async def receive(self, peer: Peer, data: bytes) -> None:
        """Takes one message of a connection. Whatever is wrong with it is answered; nothing is raised."""
        try:
            request, arrays = self.decode(data)
            await self._take(peer, request, arrays)
        except GlassesError as error:
            self._refuse(peer, data, error.reason, str(error))
        except Exception as error:
            log.exception("request failed")
            self._refuse(peer, data, Reason.INTERNAL, f"the service failed: {type(error).__name__}")

    def _refuse(self, peer: Peer, data: bytes, reason: Reason, message: str) -> None:
        """Answers a request that was not taken; on a session its number counts as done, or the next would not fit."""
        whose = wire.whose(data)
        failed = Failed(
            whose.rid if whose.rid is not None and whose.rid >= 0 else None, reason, message, max(0, whose.seq)
        )
        session = self._sessions.get(whose.session)
        if session is not None and whose.seq == session.received + 1:
            session.refused(failed)
        peer.send(wire.encode(failed))

    def detach(self, peer: Peer) -> None:
        """The connection is gone; its sessions wait for `linger_s`."""
        for session in self._sessions.values():
            if isinstance(session.send, Sender) and session.send.peer is peer:
                session.send, session.touched = None, time.monotonic()

    async def _take(self, peer: Peer, request: messages.Request, arrays: list[Float32Array]) -> None:
        send = Sender(peer)
        match request:
            case messages.Tokenize():
                backbone = self.models.backbone
                ids = backbone.tokenize(request.text, special=request.special)
                rows = (backbone.token_rows(ids),) if request.rows and ids else ()
                send(events.Tokenized(request.rid, ids), rows)
            case messages.Ping():
                send(Done(request.rid, "", 0), ())
            case Describe():
                send(self.describe(request.rid), ())
            case Open():
                if request.latents:
                    self.require("hidden")
                session = self._open(request, send)
                send(Opened(request.rid, session.id, session.context.n_past, session.received), ())
            case Attach():
                session = self.session(request.session)
                send(Opened(request.rid, session.id, session.context.n_past, session.received), ())
                session.attach(send, request.generation, request.have)
            case Cancel():
                session = self.session(request.session)
                session.cancel(request.generation)
                send(Done(request.rid, session.id, session.context.n_past, session.received), ())
            case Close():
                await self._end(self.session(request.session))
                send(Done(request.rid, request.session, 0), ())
            case messages.Feed() | messages.Generate() | messages.Rollback() | messages.Branch():
                self.session(request.session).accept(request, arrays)
            case Once():
                await self._once(request, arrays, send)
            case messages.Forward() | messages.Backward() | messages.ForwardBackward():
                send(*await self._gradient(peer, request, arrays))
            case _:
                self.require("tokens")
                send(await self._tokens.answer(self, peer.key, request), ())

    def session(self, session_id: str) -> Session:
        """Raises InputError(NOT_FOUND)."""
        session = self._sessions.get(session_id)
        if session is None:
            raise InputError(
                Reason.NOT_FOUND, "no such session: it ended, or the service was started anew; open another"
            )
        return session

    def require(self, ability: Ability) -> None:
        """Raises RemoteError(UNSUPPORTED) for what the description does not name under `can`."""
        if ability not in self.engine.can:
            raise RemoteError(
                Reason.UNSUPPORTED,
                f"the backend {self._backend} has no {ability} API: it can do {', '.join(self.engine.can)}; "
                "serve with --backend torch for all of them",
            )

    def adopt(self, context: Context, like: Session) -> Session:
        """A new session at `context`, with the connection and frame of another. Raises RemoteError(BUSY)."""
        session = self._new(context, like.send, chat=like.chat, latents=like.latents)
        session.branched(like)
        return session

    def _open(self, request: Open, send: Send) -> Session:
        known = next((s for s in self._sessions.values() if request.key and s.key == request.key), None)
        if known:
            known.send = send
            return known
        chat = self.engine.chat
        context = Context(chat.n_past, chat.state) if request.chat else Context()
        return self._new(context, send, chat=request.chat, latents=request.latents, key=request.key)

    def _new(self, context: Context, send: Send | None, *, chat: bool, latents: bool, key: str = "") -> Session:
        if len(self._sessions) >= self._caps.sessions:
            raise RemoteError(Reason.BUSY, f"all {self._caps.sessions} sessions are taken; close one, or try later")
        session = Session(secrets.token_urlsafe(16), self, context, chat, latents, send, key)
        self._sessions[session.id] = session
        session.start()
        return session

    async def _end(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        await session.close()

    async def _once(self, request: Once, arrays: list[Float32Array], send: Send) -> None:
        session = self._open(Open(0, chat=request.chat, latents=request.how.latents), send)
        ended = asyncio.Event()

        def forward(event: Event, sent: Sequence[Float32Array]) -> None:
            if not isinstance(event, Done) or event.seq == 2:
                send(event, sent)
            if isinstance(event, Failed) or (isinstance(event, Done) and event.seq == 2):
                ended.set()

        session.send = forward
        try:
            session.accept(messages.Feed(request.rid, session.id, 1, request.parts), arrays)
            session.accept(messages.Generate(request.rid, session.id, 2, request.how), [])
            await ended.wait()
        finally:
            await self._end(session)

    async def _gradient(
        self, peer: Peer, request: messages.GradientRequest, arrays: list[Float32Array]
    ) -> tuple[Event, Sequence[Float32Array]]:
        self.require("gradient")
        key = peer.key if isinstance(request, messages.Forward) else request.step.partition(":")[0]
        return await self.engine.gradient(self, key, request, arrays)

    def describe(self, rid: int = 0) -> Description:
        """What this service is and can do."""
        backbone = self.models.backbone
        return Description(
            rid=rid,
            schema_id=events.schema_id(),
            version=__version__,
            bundle=self.models.bundle.name,
            backend=self._backend,
            backbone=backbone.sha256,
            n_embd=backbone.n_embd,
            n_vocab=backbone.n_vocab,
            n_ctx=backbone.n_ctx,
            can=list(self.engine.can),
            spaces=sorted(self.models.widths()),
            caps=self._cap_table,
            schema=events.json_schema(),
        )

    @cached_property
    def _cap_table(self) -> dict[str, int]:
        return {
            "message_bytes": wire.MAX_MESSAGE_BYTES,
            "array_rows": wire.MAX_ROWS,
            "sequences": messages.MAX_SEQUENCES,
            "generation_tokens": messages.MAX_TOKENS,
            "sessions": self._caps.sessions,
            "linger_ms": int(self._caps.linger_s * 1000),
            "idle_ms": int(self._caps.idle_s * 1000),
        }

    async def _tidy(self) -> None:
        """Ends sessions that nobody came back to."""
        while True:
            await asyncio.sleep(min(1.0, self._caps.linger_s / 4))
            now = time.monotonic()
            for session in list(self._sessions.values()):
                patience_s = self._caps.linger_s if session.send is None else self._caps.idle_s
                if now - session.touched > patience_s and (session.idle or session.send is None):
                    await self._end(session)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends events to one peer."""

    peer: Peer

    def __call__(self, event: Event, arrays: Sequence[Float32Array]) -> None:
        self.peer.send(wire.encode(event, arrays, self.peer.dtype))

"""The three APIs over one engine: answers the messages of any connection."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from glasses import __version__
from glasses.errors import GlassesError, InputError, Reason, RemoteError
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.engine import Context, Engine, GivesGradients
from glasses.service.protocol import events, generation_params, messages, wire
from glasses.service.protocol.events import Description, Done, Event, Failed, Opened
from glasses.service.protocol.messages import Attach, Cancel, Close, Describe, OneShot, Open
from glasses.service.server.budget import MAX_CLIENT_BYTES, Memory, Places
from glasses.service.server.caps import Caps, Worn
from glasses.service.server.conversation import Conversation
from glasses.service.server.engine_host import EngineHost
from glasses.service.server.peers import Peer, Sender
from glasses.service.server.session import Send, Session
from glasses.service.tokens.tokens_api import TokensAPI
from glasses.tools.acts import Acts
from glasses.types import Float32Array

log = logging.getLogger(__name__)
_requests: wire.Decoder[messages.Request] = wire.Decoder(messages.Request)


class Service:
    """Opened by `start`. The engine works on a thread of its own; everything else happens on the event loop that called
    `start`. `tokens` is the file in which added tokens are kept. `worn`: where the engine is that of worn glasses. For
    `open_acts` see `EngineHost`.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        *,
        backend: str,
        tokens: Path | None = None,
        caps: Caps | None = None,
        worn: Worn | None = None,
        open_acts: Callable[[LoadedBundle], Acts | None] = lambda loaded: None,
    ) -> None:
        self._worn, has_voice = worn or Worn(), worn is None
        self.host = EngineHost(
            open_engine,
            backend=backend,
            tokens_path=tokens,
            why_not=self._worn.why_not,
            has_voice=has_voice,
            open_acts=open_acts,
        )
        self._tokens, self._caps, self.gate = TokensAPI(self.host), caps or Caps(), self._worn.gate
        self.memory = Memory(self._caps.request_bytes, min(MAX_CLIENT_BYTES, self._caps.request_bytes))
        self.places = Places(self._caps.for_http)
        # One picture or sound at a time, of all clients: decoded ones are many times as large as what was sent.
        self.decoder = ThreadPoolExecutor(1, thread_name_prefix="media")
        self._sessions: dict[str, Session] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._janitor: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the engine on its thread. Raises as `open_engine` does, and as `added_tokens.load`."""
        await self.host.start()
        self._janitor = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        """Ends every session and frees the engine."""
        if self._janitor:
            self._janitor.cancel()
        await self.forget()
        self.decoder.shutdown(wait=False, cancel_futures=True)
        await self.host.close()

    async def forget(self) -> None:
        """Ends every session: nothing of what was fed is kept."""
        for session in list(self._sessions.values()):
            await self._end(session)

    @staticmethod
    def decode(data: bytes) -> tuple[messages.Request, list[Float32Array]]:
        """Raises InputError as `wire.Decoder.decode` does."""
        return _requests.decode(data)

    async def receive(self, peer: Peer, data: bytes) -> None:
        """Takes one message of a connection. An error is sent as the answer, never raised."""
        try:
            request, arrays = self.decode(data)
            await self._take(peer, request, arrays)
        except GlassesError as error:
            self.refuse(peer, data, error)
        except Exception as error:
            log.exception("request failed")
            self.refuse(peer, data, RemoteError(Reason.INTERNAL, f"the service failed: {type(error).__name__}"))

    def refuse(self, peer: Peer, data: bytes, error: GlassesError) -> None:
        """Answers a request that was not taken. On a session its seq counts as done, or the next would leave a gap."""
        envelope = wire.envelope_of(data)
        rid = envelope.rid if envelope.rid is not None and envelope.rid >= 0 else None
        failed = Failed(rid, error.reason, str(error), max(0, envelope.seq))
        session = self._sessions.get(envelope.session)
        if session is not None and envelope.seq == session.received + 1:
            session.refused(failed)
        peer.send(wire.encode(failed))

    def detach(self, peer: Peer) -> None:
        """Notes that a connection is gone; its sessions stay for `linger_s`, its tools do not."""
        if self._worn.tools:
            self._worn.tools.leave(peer)
        for session in self._of(peer):
            session.detach()

    async def end_sessions(self, peer: Peer) -> None:
        """Ends the sessions of a connection that is gone and will not come back."""
        for session in self._of(peer):
            await self._end(session)

    def _of(self, peer: Peer) -> list[Session]:
        return [s for s in self._sessions.values() if isinstance(s.send, Sender) and s.send.peer is peer]

    async def _take(self, peer: Peer, request: messages.Request, arrays: list[Float32Array]) -> None:
        send = Sender(peer)
        match request:
            case messages.Tokenize():
                backbone = self.host.loaded.backbone
                ids = backbone.tokenize(request.text, special=request.special)
                rows = (backbone.token_rows(ids),) if request.rows and ids else ()
                send(events.Tokenized(request.rid, ids), rows)
            case messages.Ping():
                send(Done(request.rid, "", 0), ())
            case Describe():
                send(self.describe(request.rid), ())
            case Open():
                if request.latents:
                    self.host.require("hidden")
                session = self._open(request, send)
                send(Opened(request.rid, session.id, session.n_past, session.received), ())
            case Attach():
                session = self.session(request.session)
                send(Opened(request.rid, session.id, session.n_past, session.received), ())
                session.attach(send, request.generation, request.have)
            case Cancel():
                session = self.session(request.session)
                session.cancel(request.generation)
                send(Done(request.rid, session.id, session.n_past, session.received), ())
            case Close():
                await self._end(self.session(request.session))
                send(Done(request.rid, request.session, 0), ())
            case messages.Feed() | messages.Generate() | messages.Rollback() | messages.Branch() | messages.Act():
                self.session(request.session).accept(request, arrays)
            case OneShot():
                await self._one_shot(request, arrays, send)
            case messages.OfferTools() | messages.ToolResult():
                self._bring(peer, request)
                send(Done(request.rid, "", 0), ())
            case _:
                send(*await self._train(peer, request, arrays))

    def _bring(self, peer: Peer, request: messages.OfferTools | messages.ToolResult) -> None:
        if self._worn.tools is None:
            raise RemoteError(Reason.UNSUPPORTED, "only worn glasses (`glasses run`) take tools of apps")
        if isinstance(request, messages.OfferTools):
            self._worn.tools.offer(peer, request)
        else:
            self._worn.tools.answer(peer, request)

    def session(self, session_id: str) -> Session:
        """The open session of this id. Raises InputError(NOT_FOUND)."""
        session = self._sessions.get(session_id)
        if session is None:
            raise InputError(Reason.NOT_FOUND, "no such session: it ended, or the service was restarted; open another")
        return session

    def _open(self, request: Open, send: Send) -> Session:
        known = next((s for s in self._sessions.values() if request.key and s.key == request.key), None)
        if known:
            known.attach(send)
            return known
        context = self.host.new_context() if request.chat else Context()
        return self._new(Conversation(self.host, context, request.chat, request.latents), send, request.key)

    def _adopt(self, conversation: Conversation, like: Session) -> Session:
        """A new session for a branch of another session's conversation, on its connection. Raises RemoteError(BUSY)."""
        return self._new(conversation, like.send)

    def _new(self, conversation: Conversation, send: Send | None, key: str = "") -> Session:
        account = send.peer.key if isinstance(send, Sender) else ""
        if len(self._sessions) >= self._caps.sessions:
            self._make_room(account)
        session = Session(secrets.token_urlsafe(16), conversation, send, self._adopt, key, account)
        self._sessions[session.id] = session
        session.start()
        return session

    def _make_room(self, account: str) -> None:
        """Ends the session whose client has been away longest; if none is, the one that has been idle longest of those
        that have more sessions than `account` would have. Raises RemoteError(BUSY) if there is neither.
        """
        sessions, before = list(self._sessions.values()), time.monotonic() - self._caps.spare_idle_s
        held = Counter(session.client for session in sessions)
        away = [session for session in sessions if session.send is None] or [
            session
            for session in sessions
            if held[session.client] > held[account] + 1 and session.idle and session.touched < before
        ]
        if not away:
            raise RemoteError(Reason.BUSY, f"all {self._caps.sessions} sessions are taken; close one, or try later")
        oldest = min(away, key=lambda session: session.touched)
        del self._sessions[oldest.id]
        task = asyncio.create_task(oldest.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, session: Session) -> None:
        self._sessions.pop(session.id, None)
        await session.close()

    async def _one_shot(self, request: OneShot, arrays: list[Float32Array], send: Send) -> None:
        session = self._open(Open(0, chat=request.chat, latents=request.params.latents), send)
        ended = asyncio.Event()

        def forward(event: Event, sent: Sequence[Float32Array]) -> None:
            if not isinstance(event, Done) or event.seq == 2:
                send(event, sent)
            if isinstance(event, Failed) or (isinstance(event, Done) and event.seq == 2):
                ended.set()

        session.send = forward
        try:
            session.accept(messages.Feed(request.rid, session.id, 1, request.parts), arrays)
            session.accept(messages.Generate(request.rid, session.id, 2, request.params), [])
            await ended.wait()
        finally:
            await self._end(session)

    async def _train(
        self, peer: Peer, request: messages.GradientRequest | messages.TokenRequest, arrays: list[Float32Array]
    ) -> tuple[Event, Sequence[Float32Array]]:
        if isinstance(request, messages.GradientRequest):
            return await self._gradient(peer, request, arrays)
        self.host.require("tokens")
        return await self._tokens.answer(peer.key, request), ()

    async def _gradient(
        self, peer: Peer, request: messages.GradientRequest, arrays: list[Float32Array]
    ) -> tuple[Event, Sequence[Float32Array]]:
        host = self.host
        if not isinstance(host.engine, GivesGradients):
            raise host.unsupported("gradient")
        key = peer.key if isinstance(request, messages.Forward) else request.step.partition(":")[0]
        return await host.engine.gradient(host.runner(key), host.added, request, arrays)

    def describe(self, rid: int = 0) -> Description:
        """What this service is and can do."""
        loaded = self.host.loaded
        return Description(
            rid=rid,
            schema_id=events.schema_id(),
            version=__version__,
            bundle=loaded.bundle.name,
            backend=self.host.backend,
            backbone=loaded.backbone.sha256,
            n_embd=loaded.backbone.n_embd,
            n_vocab=loaded.backbone.n_vocab,
            n_ctx=loaded.backbone.n_ctx,
            can=list(self.host.engine.can),
            spaces=sorted(loaded.widths()),
            caps=self._cap_table,
            schema=events.json_schema(),
        )

    @cached_property
    def _cap_table(self) -> dict[str, int]:
        return {
            "message_bytes": wire.MAX_MESSAGE_BYTES,
            "array_rows": wire.MAX_ROWS,
            "sequences": messages.MAX_SEQUENCES,
            "generation_tokens": generation_params.MAX_TOKENS,
            "sessions": self._caps.sessions,
            "linger_ms": int(self._caps.linger_s * 1000),
            "idle_ms": int(self._caps.idle_s * 1000),
        }

    async def _tidy(self) -> None:
        """Ends the sessions that nobody uses any more."""
        while True:
            await asyncio.sleep(min(1.0, self._caps.linger_s / 4))
            now = time.monotonic()
            for session in list(self._sessions.values()):
                patience_s = self._caps.linger_s if session.send is None else self._caps.idle_s
                if now - session.touched > patience_s and (session.idle or session.send is None):
                    await self._end(session)

"""One conversation with the backbone over the Latent API: its requests in order, each done once. Knows no network.

A session outlives the connection it was opened on. Its requests wait in a queue; every step of the backbone is one
call on the worker, so sessions take turns from token to token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from glasses.errors import GlassesError, InputError, ModelError, Reason
from glasses.runtime import prompt
from glasses.service.engines.llama import Context, Output
from glasses.service.protocol import messages
from glasses.service.protocol.events import Done, Event, Failed, Opened
from glasses.service.protocol.messages import Feed, Generate, Rollback, SessionRequest
from glasses.service.server import prompting
from glasses.service.server.generation import Generation, Made
from glasses.types import NS_PER_MS, Float32Array

if TYPE_CHECKING:
    from glasses.service.server.service import Service

log = logging.getLogger(__name__)
MAX_QUEUED = 256  # requests that wait
MAX_QUEUED_BYTES = 32 << 20  # of their arrays
KEPT_ANSWERS = 256  # for requests that are repeated
Send = Callable[[Event, Sequence[Float32Array]], None]
Queued = tuple[SessionRequest, list[Float32Array]]


@dataclass(slots=True, eq=False)
class Session:
    """`send` is where its events go now, None while nobody is connected; `touched` is the monotonic time of use."""

    id: str
    service: Service
    context: Context
    chat: bool
    latents: bool
    send: Send | None
    key: str = ""
    turn: prompting.Turn = field(default_factory=prompting.Turn)
    marks: list[tuple[int, prompting.Turn, list[Any]]] = field(default_factory=list)  # what to roll back to
    received: int = 0
    generation: Generation | None = None
    touched: float = field(default_factory=time.monotonic)
    _output: Output | None = None
    _pending: list[Any] = field(default_factory=list)  # a chosen token that is not fed yet
    _answers: dict[int, Event] = field(default_factory=dict)
    _queue: asyncio.Queue[Queued] = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED))
    _queued_bytes: int = 0
    _task: asyncio.Task[None] | None = None
    _stop_before: int = 0  # feeds and generations up to this seq were cancelled

    def start(self) -> None:
        self._task = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Cancels what runs and waits for it."""
        self.cancel(None)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def idle(self) -> bool:
        return self._queue.empty() and (self.generation is None or self.generation.ended)

    def accept(self, request: SessionRequest, arrays: list[Float32Array]) -> None:
        """Queues a request, or answers one that was done already.

        Raises InputError(REPLAYED) for a number that leaves a gap or is too old, RemoteError(BUSY).
        """
        self.touched = time.monotonic()
        if request.seq <= self.received:
            if request.seq in self._answers:
                self._emit(self._answers[request.seq])
            elif request.seq <= self.received - KEPT_ANSWERS:
                raise InputError(Reason.REPLAYED, f"request {request.seq} was done long ago")
            return  # else it still waits, and will be answered
        if request.seq != self.received + 1:
            raise InputError(Reason.REPLAYED, f"request {request.seq} after {self.received}: one is missing between")
        if isinstance(request, Rollback):
            self.cancel(None)
        n_bytes = sum(array.nbytes for array in arrays)
        if self._queue.full() or self._queued_bytes + n_bytes > MAX_QUEUED_BYTES:
            raise InputError(Reason.BUSY, "too many requests of this session wait already; send them more slowly")
        self._queued_bytes += n_bytes
        self._queue.put_nowait((request, arrays))
        self.received = request.seq

    def refused(self, failed: Failed) -> None:
        """A request that could not even be queued has had its turn."""
        self.received = failed.seq
        self._answers[failed.seq] = failed

    def cancel(self, generation: int | None) -> None:
        """Stops a generation, or all that was asked up to now."""
        running = self.generation
        if running and not running.ended and generation in (None, running.how.generation):
            running.cancelled = True
        if generation is None:
            self._stop_before = self.received
            self.service.abort(self.id)

    def branched(self, other: Session) -> None:
        """Makes this new session's place in the conversation that of `other`."""
        self.turn = replace(other.turn)
        self._output, self._pending, self.marks = other._output, list(other._pending), list(other.marks)

    def attach(self, send: Send, generation: int, have: int) -> None:
        """Sends events here from now on, and first what the other end missed of `generation`."""
        self.send, self.touched = send, time.monotonic()
        if self.generation and self.generation.how.generation == generation:
            for made in self.generation.pieces[have:]:
                self._piece(made)

    def _emit(self, event: Event, arrays: Sequence[Float32Array] = ()) -> None:
        if self.send is not None:
            self.send(event, arrays)

    def _piece(self, made: Made) -> None:
        piece, latent = made
        self._emit(piece, () if latent is None else (latent,))

    async def _serve(self) -> None:
        while True:
            request, arrays = await self._queue.get()
            self._queued_bytes -= sum(array.nbytes for array in arrays)
            try:
                answer = await self._do(request, arrays)
            except GlassesError as error:
                answer = Failed(request.rid, error.reason, str(error), request.seq)
            except Exception as error:
                log.exception("session %s failed", self.id[:6])
                answer = Failed(
                    request.rid, Reason.INTERNAL, f"the service failed: {type(error).__name__}", request.seq
                )
            self._answers[request.seq] = answer
            self._answers.pop(request.seq - KEPT_ANSWERS, None)
            self._emit(answer)

    async def _do(self, request: SessionRequest, arrays: list[Float32Array]) -> Event:
        if isinstance(request, Generate):
            return await self._generate(request)
        if isinstance(request, messages.Branch):
            branched = await self._run(lambda: self.service.engine.copy(self.context))
            session = self.service.adopt(branched, self)
            return Opened(request.rid, session.id, branched.n_past)
        if isinstance(request, Feed):
            if request.seq <= self._stop_before:
                raise ModelError(Reason.ABORTED, "cancelled before it was fed")
            await self._run(lambda: self._feed(request, arrays))
        else:
            await self._run(lambda: self._rollback(request.n_past))
        return Done(request.rid, self.id, self.context.n_past, request.seq)

    async def _run(self, function: Callable[[], Any]) -> Any:
        return await self.service.run(self.id, function)

    def _feed(self, request: Feed, arrays: list[Float32Array]) -> None:
        """On the worker's thread. A part that cannot be used leaves the context as it was."""
        service, turn = self.service, replace(self.turn)
        parts = [
            p for part in request.parts for p in prompting.connect(service.models, service.added, part, arrays, turn)
        ]
        if not any(len(part) for part in parts):
            self.turn = turn  # nobody spoke: no rows, and nothing to do
            return
        hidden = self.latents or bool(service.added.tokens and not self.chat)
        self._output = service.engine.feed(self.context, [*self._pending, *parts], hidden=hidden)
        self._pending, self.turn = [], turn
        self._mark()

    def _mark(self) -> None:
        self.marks.append((self.context.n_past, self.turn, list(self._pending)))

    def _rollback(self, n_past: int) -> None:
        self.service.engine.truncate(self.context, n_past)
        while self.marks and self.marks[-1][0] > n_past:
            self.marks.pop()
        _, turn, pending = self.marks[-1] if self.marks else (0, prompting.Turn(), [])
        self._output, self.turn = None, turn
        self._pending = pending if self.marks and self.marks[-1][0] == n_past else []

    async def _generate(self, request: Generate) -> Event:
        how, service = request.how, self.service
        if how.latents:
            service.require("hidden")
        if self.generation and how.generation <= self.generation.how.generation:
            raise InputError(
                Reason.REPLAYED, f"generation {how.generation} is not over {self.generation.how.generation}"
            )
        generation = Generation(self.id, how, service.models.backbone.vocabulary, service.added)
        if how.budget_ms is not None:
            generation.deadline_ns = time.monotonic_ns() + how.budget_ms * NS_PER_MS
        generation.cancelled = request.seq <= self._stop_before
        self.generation = generation
        try:
            await (self._elsewhere(generation) if service.engine.stream else self._stream(generation))
            self._answered()
        except BaseException:
            generation.stop("failed")
            self._piece(generation.pieces[-1])
            raise
        return Done(request.rid, self.id, self.context.n_past, request.seq)

    async def _stream(self, generation: Generation) -> None:
        step = self._begin if self.chat else self._step
        while not generation.ended:
            n_made = len(generation.pieces)
            if generation.cancelled:
                generation.stop("cancelled")
            elif generation.deadline_ns and time.monotonic_ns() > generation.deadline_ns:
                generation.stop("deadline")
            else:
                try:
                    await self._run(lambda step=step: step(generation))
                except ModelError as error:
                    if error.reason is not Reason.ABORTED:
                        raise
                    generation.cancelled = True
                step = self._step
            for made in generation.pieces[n_made:]:
                self._piece(made)

    async def _elsewhere(self, generation: Generation) -> None:
        """Pieces of an engine that makes them itself; a reply that is left breaks its connection and so ends there."""
        engine, context, late = self.service.engine, self.context, False
        parts = [*self._pending, *(self._ending(generation) if self.chat else [])]
        self._pending = []
        if parts:
            await self._run(lambda: engine.feed(context, parts, hidden=False))
        async with aclosing(engine.stream(context, generation.how)) as stream:
            async for piece in stream:
                late = generation.deadline_ns is not None and time.monotonic_ns() > generation.deadline_ns
                if generation.cancelled or late:
                    break
                generation.take(piece.token, piece.text, piece.logprob, piece.top, piece.end)
                self._piece(generation.pieces[-1])
        ids = [made.token for made, _ in generation.pieces if made.end != "eos"]
        if ids:
            await self._run(lambda: engine.feed(context, [ids], hidden=False))
        if not generation.ended:
            generation.stop("cancelled" if generation.cancelled else "deadline" if late else "failed")
            self._piece(generation.pieces[-1])

    def _answered(self) -> None:
        self.touched = time.monotonic()
        if self.chat:  # the next turn's parts follow
            self._pending, self._output = [self._turn_break()], None
            self.turn = prompting.Turn()
            self._mark()

    def _turn_break(self) -> list[int]:
        backbone = self.service.models.backbone
        return backbone.tokenize(backbone.prompt_format.turn_break)

    def _begin(self, generation: Generation) -> None:
        """The end of a chat turn, then the first piece."""
        parts = [*self._pending, *self._ending(generation)]
        self._output = self.service.engine.feed(self.context, parts, hidden=generation.needs_hidden)
        self._pending = []
        self._step(generation)

    def _ending(self, generation: Generation) -> list[Any]:
        ending = prompt.ending(self.service.models, self.turn)
        if generation.how.said:
            ending.append(self.service.models.backbone.tokenize(generation.how.said, special=False))
        return ending

    def _step(self, generation: Generation) -> None:
        """Feeds the last piece's token and makes the next one, on the worker's thread."""
        if self._pending:
            feed = self.service.engine.feed
            self._output = feed(self.context, self._pending, hidden=generation.needs_hidden or self.latents)
            self._pending = []
        if self._output is None:
            raise InputError(Reason.BAD_INPUT, "nothing to continue: feed something first")
        room = self.context.n_past < self.service.models.backbone.n_ctx
        values = self.service.engine.values(self.context) if generation.needs_values else None
        chosen = generation.next(self._output, room=room, values=values)
        if generation.pieces[-1][0].end in (None, "length"):  # a raw session may go on after its last token
            self._pending = [chosen]

"""One session of the Latent API: its requests in order, each done once.

A session outlives the connection on which it was opened, but does no work until its client is back. Its requests wait
in a queue. Work is done in slices, each one call on the engine's thread: a token, or some 64 rows of a prompt. Between
two slices others have their turn, and a cancelled request stops.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from glasses.errors import GlassesError, InputError, ModelError, Reason
from glasses.service.engines.engine import StreamsTokens
from glasses.service.protocol import messages
from glasses.service.protocol.events import Done, Event, Failed, Opened
from glasses.service.protocol.messages import Act, Feed, Generate, Rollback, SessionRequest
from glasses.service.server.acting import act
from glasses.service.server.conversation import Conversation
from glasses.service.server.generation import Generated, Generation
from glasses.types import NS_PER_MS, NS_PER_S, Float32Array

log = logging.getLogger(__name__)
MAX_QUEUED = 256  # requests that wait
MAX_QUEUED_BYTES = 32 << 20  # of their arrays
KEPT_ANSWERS = 256  # for requests that are repeated
Send = Callable[[Event, Sequence[Float32Array]], None]
_T = TypeVar("_T")
_END = object()  # no slice is left
Queued = tuple[SessionRequest, list[Float32Array]]


@dataclass(slots=True, eq=False)
class Session:
    """`send` is where its events go, None while nobody is connected. `adopt` makes a session of the service from a
    branched conversation. `touched` is the monotonic time of the last use. `client` is whose share of the worker's time
    its work is counted to.
    """

    id: str
    conversation: Conversation
    send: Send | None
    adopt: Callable[[Conversation, Session], Session]
    key: str = ""
    client: str = ""
    received: int = 0  # the newest seq
    generation: Generation | None = None
    touched: float = field(default_factory=time.monotonic)
    _answers: dict[int, Event] = field(default_factory=dict)  # by seq, at most KEPT_ANSWERS
    _queue: asyncio.Queue[Queued] = field(default_factory=lambda: asyncio.Queue(MAX_QUEUED))
    _queued_bytes: int = 0
    _task: asyncio.Task[None] | None = None
    _stop_before: int = 0  # feeds and generations up to this seq were cancelled
    _connected: asyncio.Event = field(default_factory=asyncio.Event)
    _following: asyncio.Task[None] | None = None  # takes the tokens of an engine that generates by itself
    _deadline_ns: int | None = None  # of the newest generation that was asked for, on the monotonic clock

    def start(self) -> None:
        """Begins to serve the queue."""
        if self.send is not None:
            self._connected.set()
        self._task = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Cancels what runs and waits for it."""
        self.cancel(None)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def n_past(self) -> int:
        """Rows in the context."""
        return self.conversation.n_past

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return self._queue.empty() and (self.generation is None or self.generation.ended)

    def accept(self, request: SessionRequest, arrays: list[Float32Array]) -> None:
        """Queues a request, or repeats the answer to one that was done.

        Raises InputError: REPLAYED for a seq that leaves a gap or is too old, BUSY.
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
        if isinstance(request, Generate) and request.params.budget_ms is not None:  # what is fed before it hurries, too
            self._deadline_ns = time.monotonic_ns() + request.params.budget_ms * NS_PER_MS

    def refused(self, failed: Failed) -> None:
        """Notes the answer to the next request, which could not be queued."""
        self.received = failed.seq
        self._keep(failed.seq, failed)

    def cancel(self, generation: int | None) -> None:
        """Stops a generation, or everything that was asked up to now."""
        running = self.generation
        if running and not running.ended and generation in (None, running.params.generation):
            running.cancelled = True
            if self._following:
                self._following.cancel()
        if generation is None:
            self._stop_before = self.received
            self.conversation.host.abort(self.id)

    def detach(self) -> None:
        """Notes that nobody is connected: no slice of work begins until `attach`."""
        self.send, self.touched = None, time.monotonic()
        self._connected.clear()
        if self._following:
            self._following.cancel()

    def attach(self, send: Send, generation: int = 0, have: int = 0) -> None:
        """Sends events here from now on, and first the tokens of `generation` after the first `have`."""
        self.send, self.touched = send, time.monotonic()
        self._connected.set()
        if self.generation and self.generation.params.generation == generation:
            for token in self.generation.tokens[have:]:
                self._emit_token(token)

    def _emit(self, event: Event, arrays: Sequence[Float32Array] = ()) -> None:
        if self.send is not None:
            self.send(event, arrays)

    def _emit_token(self, token: Generated) -> None:
        self._emit(token.event, () if token.latent is None else (token.latent,))

    def _keep(self, seq: int, answer: Event) -> None:
        """Keeps an answer to be repeated, and drops the oldest over KEPT_ANSWERS."""
        self._answers[seq] = answer
        while len(self._answers) > KEPT_ANSWERS:
            del self._answers[min(self._answers)]

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
                message = f"the service failed: {type(error).__name__}"
                answer = Failed(request.rid, Reason.INTERNAL, message, request.seq)
            self._keep(request.seq, answer)
            self._emit(answer)

    async def _do(self, request: SessionRequest, arrays: list[Float32Array]) -> Event:
        conversation = self.conversation
        if isinstance(request, Generate):
            await self._generate(request)
        elif isinstance(request, messages.Branch):
            session = self.adopt(await self._run(conversation.branch, can_abort=False), self)
            return Opened(request.rid, session.id, session.n_past)
        elif isinstance(request, Act):
            return await act(self.conversation, self._run, request, is_cancelled=request.seq <= self._stop_before)
        elif isinstance(request, Feed):
            if request.seq <= self._stop_before:
                raise ModelError(Reason.ABORTED, "cancelled before it was fed")
            await self._run_slices(conversation.feed(request.parts, arrays), request.seq)
        else:
            await self._run(lambda: conversation.rollback(request.n_past), can_abort=False)
        return Done(request.rid, self.id, self.n_past, request.seq, conversation.question)

    async def _run(self, function: Callable[[], _T], *, can_abort: bool = True) -> _T:
        """Runs one slice of work, once a client is connected and it is this session's turn. Raises ModelError(ABORTED)
        after `cancel` for what may be left half done.
        """
        await self._connected.wait()
        return await self.conversation.host.run(
            self.id if can_abort else "", function, client=self.client or self.id, deadline_ns=self._deadline_ns
        )

    async def _run_slices(self, slices: Generator[None], seq: int) -> None:
        """Runs all slices of request `seq`. Raises ModelError(ABORTED) after it was cancelled."""
        try:
            while await self._run(lambda: next(slices, _END)) is not _END:
                if seq <= self._stop_before:
                    raise ModelError(Reason.ABORTED, "cancelled before it was all fed")
        except ModelError as error:
            if error.reason is Reason.ABORTED:  # the generator leaves the context as it was
                await self._run(lambda aborted=error: slices.throw(aborted), can_abort=False)
            raise

    async def _generate(self, request: Generate) -> None:
        params, host = request.params, self.conversation.host
        if params.latents:
            host.require("hidden")
        if self.generation and params.generation <= self.generation.params.generation:
            newest = self.generation.params.generation
            raise InputError(Reason.REPLAYED, f"generation {params.generation} is not over {newest}")
        generation = Generation(self.id, params, host.loaded.backbone.vocabulary, host.added)
        generation.deadline_ns = None if params.budget_ms is None else self._deadline_ns
        generation.cancelled = request.seq <= self._stop_before
        self.generation = generation
        try:
            if isinstance(host.engine, StreamsTokens):
                await self._stream(generation, host.engine)
            else:
                await self._step_by_step(generation)
            self.touched = time.monotonic()
            self.conversation.end_turn()
            self._deadline_ns = None
        except BaseException:
            generation.stop("failed")
            self._emit_token(generation.tokens[-1])
            raise

    async def _step_by_step(self, generation: Generation) -> None:
        slices = self.conversation.answer(generation)
        while not generation.ended:
            n_sent = len(generation.tokens)
            if generation.cancelled or generation.is_late:
                if n_sent == 0:  # the prompt may be half fed
                    with suppress(ModelError):
                        await self._run(lambda: slices.throw(ModelError(Reason.ABORTED, "")), can_abort=False)
                generation.stop("cancelled" if generation.cancelled else "deadline")
            else:
                try:
                    await self._run(lambda: next(slices))
                except ModelError as error:
                    if error.reason is not Reason.ABORTED:
                        raise
                    generation.cancelled = True
            for token in generation.tokens[n_sent:]:
                self._emit_token(token)

    async def _stream(self, generation: Generation, engine: StreamsTokens) -> None:
        """Takes the tokens of an engine that generates by itself. Without its client the generation is given up there;
        once the client is back, another one continues it.
        """
        conversation, n_fed = self.conversation, 0
        await self._run(lambda: conversation.feed_prompt(generation))
        while not generation.ended:
            await self._connected.wait()
            is_whole = await self._follow(generation, engine)
            made = generation.tokens[n_fed:]
            await conversation.host.run("", lambda made=made: conversation.feed_answer(made))
            n_fed += len(made)
            if generation.ended:
                return
            if generation.cancelled or generation.is_late or is_whole:
                generation.stop("cancelled" if generation.cancelled else "failed" if is_whole else "deadline")
                self._emit_token(generation.tokens[-1])

    async def _follow(self, generation: Generation, engine: StreamsTokens) -> bool:
        """Emits the engine's tokens; False where it was left before its end: cancelled, late, or without a client."""
        left = generation.params.max_tokens - len(generation.tokens)
        params = msgspec.structs.replace(generation.params, max_tokens=left)

        async def follow() -> None:
            async with aclosing(engine.stream(self.conversation.context, params)) as stream:
                async for token in stream:
                    generation.append(token)
                    self._emit_token(generation.tokens[-1])

        self._following = asyncio.create_task(follow())
        if generation.cancelled:
            self._following.cancel()
        late_s = None
        if generation.deadline_ns is not None:
            late_s = max(0.0, (generation.deadline_ns - time.monotonic_ns()) / NS_PER_S)
        try:
            await asyncio.wait({self._following}, timeout=late_s)
        finally:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._following.cancelled():
            return False
        self._following.result()  # raises what the engine raised
        return True

"""The remote model: a connection that is kept up in the background, and the stream of one answer over it.

Everything that waits for the network runs on an event loop in a thread of its own. The thread that answers a turn only
reads tokens from a queue, so a slow or dead link never blocks it for longer than it chose to wait.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Self

from glasses.errors import Reason, RemoteError
from glasses.offload.history import RemoteHistory
from glasses.offload.policy import LinkMeter
from glasses.service.client.client import Client, RemoteSession
from glasses.service.client.transport import Transport
from glasses.service.protocol.packing import Input
from glasses.system.supervised import SupervisedThread
from glasses.types import Latents, Token

log = logging.getLogger(__name__)
RETRY_S = 0.5
PING_S = 5.0
ANSWER_S = 3.0  # a ping without an answer for so long is a dead link
CLOSE_S = 10.0
# For the whole reply. It makes the service do a wearer's turn before work without a deadline; the turn itself gives up
# on a service that is silent much sooner.
REPLY_MS = 30_000
TELL_S = 20.0  # for the latents of a turn that is over, while nobody waits
SPARE_S = 240.0  # an unused session is replaced after so long: a service ends one that is idle for ten minutes


class RemoteConnection:
    """`client` is the connected client or None. All methods belong to one event loop; `connected` may be read, and
    `client` be set to None, anywhere.

    One session is open before any turn needs it, so that a turn costs one round trip. Of a turn that is not over
    nothing is in it; of those before, what `history` holds.
    """

    def __init__(self, make_transport: Callable[[], Transport]) -> None:
        self._make = make_transport
        self.meter = LinkMeter()
        self.client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self.history = RemoteHistory()
        self._spare: RemoteSession | None = None
        self._spare_s = 0.0  # when it was opened, on the monotonic clock
        self._spare_version = 0  # of the history in it
        self._opening = asyncio.Lock()
        self._broken = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self._told = False  # that the service is away: once, not with every attempt

    def start(self) -> None:
        """Connects, and connects again whenever the link is lost, until `close`."""
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Cancels the connection and everything that was started with `spawn`."""
        tasks = [*self._background, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether a service answered, and the link has not failed since."""
        client = self.client
        return client is not None and not client.lost

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs `work` in the background; `close` cancels it."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def session(self) -> RemoteSession:
        """A session that knows the turns before. Raises RemoteError."""
        client = self.client
        if client is None:
            raise RemoteError(Reason.NO_NETWORK, "not connected")
        spare, self._spare = self._spare, None
        if spare and spare.client is client:
            if self._spare_version == self.history.version:
                return spare
            self.spawn(_closed(spare))
        async with self._opening:
            return await self.history.branch(client)

    def remember(self, inputs: Sequence[Input], said: str, *, send: bool) -> None:
        """A turn is over; `send`: the service is told now, while nobody waits, else with the next turn."""
        self.history.add(inputs, said)
        if send and self.client is not None:
            self.spawn(self._renew_spare(self.client))

    def forget(self) -> None:
        """The turns before are forgotten, at the service too."""
        held = [one for one in (self.history.forget(), self._spare) if one]
        self._spare = None
        for session in held:
            self.spawn(_closed(session))

    async def _renew_spare(self, client: Client) -> None:
        with suppress(RemoteError, TimeoutError):
            await self._open_spare(client, within_s=TELL_S)

    async def done_with(self, session: RemoteSession) -> None:
        """Ends a session, and opens the next one."""
        if self.connected and self.client is session.client:
            with suppress(RemoteError):
                await session.close()
                await self._open_spare(session.client)

    def report_lost(self) -> None:
        """Connects anew: a caller saw the link fail."""
        self.client = None
        self.meter.forget()
        self._broken.set()

    async def _keep(self) -> None:
        while True:
            client = Client(self._make(), dtype="i8", resume_s=0.0)
            try:
                await client.__aenter__()
            except RemoteError as error:
                self._tell_away(error)
                await asyncio.sleep(RETRY_S)
                continue
            self._broken.clear()
            try:
                await self._ping(client)
                self.client = client
                if self._told:
                    self._told = False
                    log.warning("the service of --offload answers again")
                while not self._broken.is_set():
                    await self._open_spare(client)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._broken.wait(), PING_S)
                        break
                    await self._ping(client)
            except (RemoteError, TimeoutError) as error:
                self._tell_away(error)
                self.report_lost()
            finally:
                self.client = None
                await client.__aexit__()

    def _tell_away(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            why = str(error) or "no answer in time"
            log.warning("the service of --offload is away, so every answer is made here: %s", why)

    async def _open_spare(self, client: Client, within_s: float = ANSWER_S) -> None:
        """Does nothing where there is a fresh one. Raises RemoteError, but not for a service that has no room."""
        async with self._opening:
            old = self._spare if self._spare and self._spare.client is client else None
            version = self.history.version
            if old and time.monotonic() - self._spare_s < SPARE_S and self._spare_version == version:
                return
            self._spare = None
            try:
                async with asyncio.timeout(within_s):
                    if old:
                        await old.close()
                    self._spare, self._spare_s = await self.history.branch(client), time.monotonic()
                    self._spare_version = version
            except RemoteError as error:
                if error.reason not in (Reason.BUSY, Reason.CONTEXT_FULL, Reason.NOT_FOUND):
                    raise

    async def _ping(self, client: Client) -> None:
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_S):
            await client.ping()
        self.meter.observe(0, 1000 * (time.monotonic() - began))


async def _closed(session: RemoteSession) -> None:
    with suppress(RemoteError):
        await session.close()


class RemoteModel:
    """A remote model for callers that are not asynchronous: `with RemoteModel(make_transport) as remote:`."""

    def __init__(self, make_transport: Callable[[], Transport]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = SupervisedThread(self._loop.run_forever, "offload")
        self._connection = RemoteConnection(make_transport)

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.call_soon_threadsafe(self._connection.start)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._connection.close(), self._loop).result(CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.close(5)
        self._loop.close()

    @property
    def connected(self) -> bool:
        """Whether a turn could be sent now."""
        return self._connection.connected

    @property
    def meter(self) -> LinkMeter:
        """What was measured of the link."""
        return self._connection.meter

    def wait_connected(self, seconds: float) -> bool:
        """Whether the link is up, after waiting for it for at most `seconds`."""
        until = time.monotonic() + seconds
        while not self.connected and time.monotonic() < until:
            time.sleep(0.02)
        return self.connected

    def report_lost(self) -> None:
        """Connects anew: the caller saw the link fail. `connected` is false when it returns."""
        self._connection.client = None  # here, not on the event loop: the next turn may begin before that runs
        self._loop.call_soon_threadsafe(self._connection.report_lost)

    def remember(self, inputs: Sequence[Input], said: str, *, send: bool) -> None:
        """See `RemoteConnection.remember`; from any thread, and in order with `answer`. Never waits."""
        self._loop.call_soon_threadsafe(lambda: self._connection.remember(inputs, said, send=send))

    def forget(self) -> None:
        """See `RemoteConnection.forget`; as `remember`."""
        self._loop.call_soon_threadsafe(self._connection.forget)

    def answer(self, inputs: Sequence[Input], max_tokens: int) -> RemoteStream:
        """Sends a turn's `inputs` and streams the answer. Nothing of a turn leaves the device before this call."""
        return RemoteStream(self._connection, self._loop, inputs, max_tokens)


class RemoteStream:
    """One answer of the remote model; its tokens come through one queue. A failure ends it, and is logged."""

    def __init__(
        self, connection: RemoteConnection, loop: asyncio.AbstractEventLoop, inputs: Sequence[Input], max_tokens: int
    ) -> None:
        self._connection, self._loop = connection, loop
        self._inputs, self._max_tokens = inputs, max_tokens
        self._tokens: queue.SimpleQueue[Token | None] = queue.SimpleQueue()
        self._task: asyncio.Task[None] | None = None
        loop.call_soon_threadsafe(self._start)

    def get(self, seconds: float) -> Token | None:
        """The next token; None where the stream has ended. Raises queue.Empty where nothing came within `seconds`."""
        return self._tokens.get(timeout=max(0.0, seconds))

    def close(self) -> None:
        """Tells the remote model to stop. Never waits for the link; may be called twice, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def _start(self) -> None:
        self._task = self._connection.spawn(self._run())

    def _cancel(self) -> None:
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        session = feeding = None
        try:
            session = await self._connection.session()
            feeding = self._connection.spawn(self._feed(session))
            # An error is raised below, or comes when nobody reads the stream any more.
            feeding.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen below
            await asyncio.sleep(0)  # so that it is sent first; the answer is asked for without waiting for its end
            async for token in session.generate(max_tokens=self._max_tokens, budget_ms=REPLY_MS):
                await feeding  # raises what kept the turn from being taken
                self._tokens.put(token)
        except RemoteError as error:
            log.info("the remote model failed: %s", error)
            if error.reason in (Reason.NO_NETWORK, Reason.ABORTED):
                self._connection.report_lost()
        finally:
            self._tokens.put(None)
            if feeding is not None:
                feeding.cancel()
            if session is not None:
                self._connection.spawn(self._connection.done_with(session))

    async def _feed(self, session: RemoteSession) -> None:
        """Feeds the inputs and measures the link with them."""
        began = time.monotonic()
        await session.feed(*self._inputs)
        n_bytes = sum(size_bytes(given) for given in self._inputs)
        self._connection.meter.observe(n_bytes, 1000 * (time.monotonic() - began))


def size_bytes(given: Input) -> int:
    """About how many bytes it takes on the wire as int8."""
    if isinstance(given, Latents):
        return given.data.size + 4 * len(given.data) + 200
    return len(given) * 600 if not isinstance(given, str) else len(given) + 200

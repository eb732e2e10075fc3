"""The remote model for callers that are not asynchronous, and the stream of one answer over its connection.

Everything that waits for the network runs on an event loop in a thread of its own. The thread that answers a turn only
reads tokens from a queue, so a slow or dead link never blocks it for longer than it chose to wait.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections.abc import Callable, Sequence
from typing import Self

from glasses.errors import Reason, RemoteError
from glasses.offload.connection import RemoteConnection
from glasses.offload.policy import LinkMeter
from glasses.service.client.client import RemoteSession
from glasses.service.client.transport import Transport
from glasses.service.protocol.packing import Input
from glasses.system.supervised import SupervisedThread
from glasses.types import Latents, Token

log = logging.getLogger(__name__)
CLOSE_S = 10.0
# For the whole reply. It makes the service do a wearer's turn before work without a deadline; the turn itself gives up
# on a service that is silent much sooner.
REPLY_MS = 30_000


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

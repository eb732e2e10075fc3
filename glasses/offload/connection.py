"""The connection to a remote model, kept up in the background: one session is open before any turn needs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from glasses.errors import Reason, RemoteError
from glasses.offload.history import RemoteHistory
from glasses.offload.policy import LinkMeter
from glasses.service.client.client import Client, RemoteSession
from glasses.service.client.transport import Transport
from glasses.service.protocol.packing import Input

log = logging.getLogger(__name__)
RETRY_S = 0.5
PING_S = 5.0
ANSWER_S = 3.0  # a ping without an answer for so long is a dead link
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

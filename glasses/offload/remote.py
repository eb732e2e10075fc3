"""The connection to the bigger brain: made and remade in the background, never waited for. Knows no policy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from glasses.errors import RemoteError
from glasses.offload.policy import LinkMeter
from glasses.service.client.client import Client, RemoteSession
from glasses.service.client.transport import Transport
from glasses.service.protocol.packing import Input
from glasses.types import Latents

RETRY_S = 0.5
PING_S = 5.0
ANSWER_S = 3.0  # a ping without an answer for so long is a dead link


class Remote:
    """`client` is the connected client or None. `start` and `close` belong to one event loop."""

    def __init__(self, make_transport: Callable[[], Transport]) -> None:
        self._make = make_transport
        self.meter = LinkMeter()
        self.client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken = asyncio.Event()
        self._later: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        tasks = [*self._later, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connected(self) -> bool:
        return self.client is not None and not self.client.lost

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something nobody waits for, a session's end say."""
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def broke(self) -> None:
        """Somebody saw the link fail: make it anew."""
        self.client = None
        self.meter.forget()
        self._broken.set()

    async def _keep(self) -> None:
        while True:
            client = Client(self._make(), dtype="i8", resume_s=0.0)
            try:
                await client.__aenter__()
            except RemoteError:
                await asyncio.sleep(RETRY_S)
                continue
            self._broken.clear()
            try:
                await self._ping(client)
                self.client = client
                while not self._broken.is_set():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._broken.wait(), PING_S)
                        break
                    await self._ping(client)
            except (RemoteError, TimeoutError):
                self.broke()
            finally:
                self.client = None
                await client.__aexit__()

    async def _ping(self, client: Client) -> None:
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_S):
            await client.ping()
        self.meter.observe(0, 1000 * (time.monotonic() - began))


def size_bytes(given: Input) -> int:
    """About how many bytes it takes on the wire as int8."""
    if isinstance(given, Latents):
        return given.data.size + 4 * len(given.data) + 200
    return len(given) * 600 if not isinstance(given, str) else len(given) + 200


async def measured_feed(remote: Remote, session: RemoteSession, given: Input) -> None:
    """Feeds one part and measures the link with it. Raises RemoteError."""
    began = time.monotonic()
    await session.feed(given)
    remote.meter.observe(size_bytes(given), 1000 * (time.monotonic() - began))

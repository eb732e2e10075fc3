"""A session with glasses in a thread of its own, for callers that know no event loop. Knows no device of theirs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.errors import LinkError
from firmware_bridge.states import Config, State
from firmware_bridge.transport import open_transport
from glasses.errors import Reason, SensorError

log = logging.getLogger(__name__)
CONNECT_S = 20.0
ANSWER_S = 1.5  # the ear's thread waits for it, and its watchdog does not wait long
T = TypeVar("T")


class LinkWorker:
    """Connected until `close`; a link that drops comes back by itself. `note` gets what a person should know."""

    def __init__(self, address: str, key: bytes | None) -> None:
        """Raises firmware_bridge's LinkError as `ReferenceGlasses.connect` does."""
        self.address = address
        self.note: Callable[[str], None] = log.info
        self.glasses = ReferenceGlasses(partial(open_transport, address), Config(key=key), answer_s=ANSWER_S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self._thread.start()
        try:
            self.do(self.glasses.connect(CONNECT_S), CONNECT_S + 2 * ANSWER_S)
        except BaseException:
            self.close()
            raise

    @property
    def up(self) -> bool:
        """Whether the link is there."""
        return not self._closed and self.glasses.session.link.state is State.UP

    def must_be_up(self) -> None:
        """Raises SensorError(NOT_FOUND)."""
        if not self.up:
            raise SensorError(Reason.NOT_FOUND, f"the glasses at {self.address} are not there at the moment")

    def do(self, what: Coroutine[Any, Any, T], limit_s: float) -> T:
        """Runs it there and waits. Raises TimeoutError, and what it raises."""
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result(limit_s)
        finally:
            future.cancel()

    def later(self, what: Coroutine[Any, Any, None]) -> Future[None] | None:
        """Begins it there and returns at once; what fails is logged. None, and nothing is done, once it is closed."""
        if self._closed:
            what.close()
            return None
        future = asyncio.run_coroutine_threadsafe(self._noted(what), self._loop)
        future.add_done_callback(self._ended)
        return future

    def call(self, what: Callable[[], None]) -> None:
        """Calls it there, soon."""
        if not self._closed:
            self._loop.call_soon_threadsafe(what)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Lets what was begun end, runs `last` and says farewell. Safe to call twice."""
        if self._closed:
            return
        try:
            self.do(self._end(last), 4 * ANSWER_S)
        except TimeoutError:
            log.warning("the link to %s does not close", self.address)
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _noted(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await what
        finally:
            self._tasks.discard(task)

    def _ended(self, future: Future[None]) -> None:
        if not future.cancelled() and (error := future.exception()):
            log.warning("the link to %s: %s", self.address, error or repr(error))

    async def _end(self, last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ANSWER_S)  # a microphone that is being switched off
        for task in self._tasks:
            task.cancel()
        if last is not None:
            try:
                await last()
            except LinkError as error:
                log.info("the link to %s, at its end: %s", self.address, error)
        await self.glasses.close()

"""A session with glasses in a thread of its own, for callers without an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.errors import LinkError
from firmware_bridge.states import Config, State
from firmware_bridge.transport import open_transport
from glasses.errors import Reason, SensorError
from glasses.system.supervised import SupervisedThread

log = logging.getLogger(__name__)
CONNECT_S = 20.0
ANSWER_S = 1.5  # the listener's thread waits for an answer, and its watchdog budget is 3 s at most
RESTART_S = 1.0  # before a task that failed is begun again
T = TypeVar("T")


class LinkWorker:
    """Connected until `close`; a link that drops comes back by itself.

    `note` gets what the user should be told of the link. The methods may be called from any thread but the link's own.
    """

    def __init__(self, address: str, key: bytes | None, note: Callable[[str], None] = log.info) -> None:
        """Raises firmware_bridge's LinkError as `ReferenceGlasses.connect` does."""
        self.address, self.note = address, note
        self.glasses = ReferenceGlasses(partial(open_transport, address), Config(key=key), answer_s=ANSWER_S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = SupervisedThread(self._loop.run_forever, "link").start()
        try:
            self.run(self.glasses.connect(CONNECT_S), CONNECT_S + 2 * ANSWER_S)
        except BaseException:
            self.close()
            raise

    @property
    def up(self) -> bool:
        """Whether the link is up."""
        return not self._closed and self.glasses.session.link.state is State.UP

    def require_up(self) -> None:
        """Raises SensorError(NOT_FOUND) while the link is down."""
        if not self.up:
            raise SensorError(Reason.NOT_FOUND, f"the glasses at {self.address} are not there at the moment")

    def run(self, coroutine: Coroutine[Any, Any, T], limit_s: float) -> T:
        """Runs a coroutine in the link's thread and waits for it. Raises TimeoutError, and what that raises."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(limit_s)
        finally:
            future.cancel()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Future[None] | None:
        """Starts a coroutine in the link's thread and returns; a failure is logged. Once closed: does nothing, None."""
        if self._closed:
            coroutine.close()
            return None
        future = asyncio.run_coroutine_threadsafe(self._tracked(coroutine), self._loop)
        future.add_done_callback(self._log_failure)
        return future

    def start_kept(self, name: str, target: Callable[[], Coroutine[Any, Any, None]]) -> Future[None] | None:
        """As `start`, of a coroutine that is begun again after it failed, whatever it raised."""
        return self.start(self._kept(name, target))

    def call_soon(self, function: Callable[[], None]) -> None:
        """Calls a function in the link's thread."""
        if not self._closed:
            self._loop.call_soon_threadsafe(function)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Lets started coroutines end, runs `last`, says farewell to the glasses. Safe to call twice."""
        if self._closed:
            return
        try:
            self.run(self._end(last), 4 * ANSWER_S)
        except TimeoutError:
            log.warning("the link to %s does not close", self.address)
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread.close(ANSWER_S):
            self._loop.close()

    async def _tracked(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await coroutine
        finally:
            self._tasks.discard(task)

    async def _kept(self, name: str, target: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await target()
            except Exception:
                log.exception("the link to %s: %s failed and is begun again", self.address, name)
                await asyncio.sleep(RESTART_S)
            else:
                return

    def _log_failure(self, future: Future[None]) -> None:
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

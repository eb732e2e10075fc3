"""The thread of the engine, and a fair queue of functions for it.

Functions have a `key` (a session, a connection, a training run), and the keys take turns: the first step of one trainer
waits for at most one of the hundred steps of another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from glasses.errors import Reason, RemoteError

MAX_WAITING = 64  # functions of one key
_T = TypeVar("_T")


class Worker:
    """Runs functions one at a time on a thread of its own; keys take turns."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backbone")
        self._waiting: OrderedDict[str, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def run(self, key: str, function: Callable[[], _T]) -> _T:
        """Runs `function` on the thread and returns its result. RemoteError(BUSY) if too much waits for `key`."""
        queue = self._waiting.setdefault(key, deque())
        if len(queue) >= MAX_WAITING:
            raise RemoteError(Reason.BUSY, f"{MAX_WAITING} requests wait already; send fewer at once")
        future = asyncio.get_running_loop().create_future()
        queue.append((function, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        while self._waiting:
            key, queue = self._waiting.popitem(last=False)
            function, future = queue.popleft()
            if queue:
                self._waiting[key] = queue  # behind the other keys
            if future.cancelled():
                continue
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, function)
            except Exception as error:  # raised where the result is awaited
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

    async def close(self, last: Callable[[], Any]) -> None:
        """Cancels what waits, runs `last` on the thread and ends the thread."""
        for queue in self._waiting.values():
            for _, future in queue:
                future.cancel()
        self._waiting.clear()
        if self._task is not None:
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, last)
        self._thread.shutdown()

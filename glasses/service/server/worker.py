"""The one thread that computes, and a fair queue before it. Knows no model and no message.

Whoever has waited longest without being served comes next, by `key` (a connection, a training run): a hundred steps
of one trainer do not keep another's first step waiting for more than one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from glasses.errors import Reason, RemoteError

MAX_WAITING = 64  # of one key
_T = TypeVar("_T")


class Worker:
    """Runs functions one at a time on a thread of its own, in turns between keys."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backbone")
        self._waiting: OrderedDict[str, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def run(self, key: str, function: Callable[[], _T]) -> _T:
        """The result of `function`, run on the thread. RemoteError(BUSY) where `key` has too much waiting already."""
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
                self._waiting[key] = queue  # at the end of the line
            if future.cancelled():
                continue
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, function)
            except Exception as error:  # belongs to whoever waits for it
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

    async def close(self, last: Callable[[], Any]) -> None:
        """Fails what waits, runs `last` on the thread and ends it."""
        for queue in self._waiting.values():
            for _, future in queue:
                future.cancel()
        self._waiting.clear()
        if self._task is not None:
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, last)
        self._thread.shutdown()

"""The thread of the engine, and a fair queue of functions for it.

A function is a slice of somebody's work: a token, some rows of a prompt, an encoder's window. Clients share the time of
the thread: the next slice is that of the client that has used least, so a short question is answered while a long
prompt is read. What has a deadline goes first, the nearest one before others, but never takes all of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from glasses.errors import Reason, RemoteError

MAX_WAITING = 64  # functions of one client
MAX_REMEMBERED = 1024  # clients whose used time is known
# What has a deadline gets at most three quarters of the time that others wait for, and goes first for at most a second.
URGENT_SHARE, OWED_S = 3, 0.3
# A client whose slice has ended has this time to send its next one, if that would come first: a generated token is
# followed by the next at once, a prompt by its answer after some turns of the event loop.
NEXT_S = 0.002
_T = TypeVar("_T")


@dataclass(slots=True)
class _Job:
    function: Callable[[], Any]
    future: asyncio.Future[Any]
    deadline_ns: int | None


@dataclass(slots=True)
class _Client:
    used_s: float  # of the thread's time, counted from what the client that had used least had used when it came
    jobs: deque[_Job] = field(default_factory=deque)


class Worker:
    """Runs functions one at a time on a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backbone")
        self._clients: OrderedDict[str, _Client] = OrderedDict()  # the one that came last is last
        self._waiting: dict[str, _Client] = {}
        self._floor_s = 0.0  # what the client that was served last had used before
        self._owed_s = 0.0  # to clients without a deadline, for what others did before them
        self._task: asyncio.Task[None] | None = None
        self._added = asyncio.Event()

    async def run(self, client: str, function: Callable[[], _T], deadline_ns: int | None = None) -> _T:
        """Runs `function` on the thread and returns its result; `deadline_ns` is on the monotonic clock. Raises what
        it raises, and RemoteError(BUSY) if too much of `client` waits.
        """
        account = self._account(client)
        if len(account.jobs) >= MAX_WAITING:
            raise RemoteError(Reason.BUSY, f"{MAX_WAITING} requests wait already; send fewer at once")
        future = asyncio.get_running_loop().create_future()
        account.jobs.append(_Job(function, future, deadline_ns))
        self._waiting[client] = account
        self._added.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())
        return await future

    def _account(self, client: str) -> _Client:
        """What is known of a client. One that was away has no claim on the time that others used meanwhile."""
        account = self._clients.setdefault(client, _Client(self._floor_s))
        self._clients.move_to_end(client)
        if client not in self._waiting:
            account.used_s = max(account.used_s, self._floor_s)
        while len(self._clients) > MAX_REMEMBERED and next(iter(self._clients)) not in self._waiting:
            self._clients.popitem(last=False)
        return account

    async def _serve(self) -> None:
        while self._waiting:
            client, job = self._take()
            if job.future.cancelled():
                continue
            began = time.monotonic()
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, job.function)
            except Exception as error:  # raised where the result is awaited
                if not job.future.cancelled():
                    job.future.set_exception(error)
            else:
                if not job.future.cancelled():
                    job.future.set_result(result)
            await self._count(client, job, time.monotonic() - began)

    def _take(self) -> tuple[str, _Job]:
        """Removes the next function from the queue."""
        urgent = {client: account for client, account in self._waiting.items() if account.jobs[0].deadline_ns}
        if urgent and (self._owed_s < OWED_S or len(urgent) == len(self._waiting)):
            client = min(urgent, key=lambda name: urgent[name].jobs[0].deadline_ns or 0)
        else:
            others = {name: self._waiting[name] for name in self._waiting if name not in urgent}
            client = min(others, key=lambda name: others[name].used_s)
            self._floor_s = max(self._floor_s, others[client].used_s)
        account = self._waiting[client]
        job = account.jobs.popleft()
        if not account.jobs:
            del self._waiting[client]
        return client, job

    async def _count(self, client: str, job: _Job, took_s: float) -> None:
        """Counts a slice that has ended. Gives its client the time to send the next one, if that would come first."""
        account = self._clients.get(client)
        if account is None:
            return
        account.used_s += took_s
        if job.deadline_ns is None:
            self._owed_s = max(0.0, self._owed_s - took_s)
        elif any(not waiting.jobs[0].deadline_ns for waiting in self._waiting.values()):
            self._owed_s += took_s / URGENT_SHARE
        until = time.monotonic() + NEXT_S
        while self._waiting and client not in self._waiting and (left_s := until - time.monotonic()) > 0:
            goes_first = job.deadline_ns is not None and self._owed_s < OWED_S
            if not goes_first and account.used_s >= min(other.used_s for other in self._waiting.values()):
                return
            self._added.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._added.wait()
            except TimeoutError:
                return

    async def close(self, last: Callable[[], Any]) -> None:
        """Cancels what waits, runs `last` on the thread and ends the thread."""
        for account in self._waiting.values():
            for job in account.jobs:
                job.future.cancel()
            account.jobs.clear()
        self._waiting.clear()
        if self._task is not None:
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, last)
        self._thread.shutdown()

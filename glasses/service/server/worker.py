"""The thread of the engine, and a fair queue of functions for it.

A function is a slice of somebody's work: a token, some rows of a prompt, an encoder's window. Clients share the time of
the thread: the next slice is that of the client that has used least. What has a deadline goes before that, the nearest
one first, and then clients that have asked for little of late, so a short question is answered while a long prompt is
read. They never take all of the time: what waits behind them gets a quarter.
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
# What goes first gets three times as long as what waits behind it. That has its turn once it has earned its slice.
FIRST_SHARE = 3
SLICE_S = 0.05  # of a client whose slices were not measured yet
# A client goes first until it has used so much of the thread's time: ten short questions with their answers on two idle
# x86 cores. It gets it back in half a minute.
CREDIT_S, CREDIT_PER_S = 3.0, 0.1
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
    used_s: float  # of the thread's time, counted from what the client that was served last had used when it came
    credit_s: float = CREDIT_S
    slice_s: float = SLICE_S  # its last one
    credited_s: float = field(default_factory=time.monotonic)  # when the credit was counted
    jobs: deque[_Job] = field(default_factory=deque)

    def rank(self, job: _Job) -> int:
        """0 for what has a deadline, 1 for a client that has asked for little of late, 2 for the others."""
        return 0 if job.deadline_ns is not None else 1 if self.credit_s > 0 else 2

    def order(self) -> tuple[int, float]:
        """The rank, and the place within it: by deadline, or by the time used."""
        job = self.jobs[0]
        return self.rank(job), self.used_s if job.deadline_ns is None else job.deadline_ns

    def use(self, seconds: float) -> None:
        """Counts time that was used."""
        now = time.monotonic()
        self.used_s += seconds
        self.slice_s = seconds
        self.credit_s = min(CREDIT_S, self.credit_s + CREDIT_PER_S * (now - self.credited_s)) - seconds
        self.credit_s, self.credited_s = max(-CREDIT_S, self.credit_s), now


class Worker:
    """Runs functions one at a time on a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="backbone")
        self._clients: OrderedDict[str, _Client] = OrderedDict()  # the one that came last is last
        self._waiting: dict[str, _Client] = {}
        self._floor_s = 0.0  # what the client that was served last had used before
        self._owed_s = [0.0, 0.0, 0.0]  # to each rank, for the time that those of higher ones had before it
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
        client = self._next()
        account = self._waiting[client]
        self._floor_s = max(self._floor_s, min(other.used_s for other in self._waiting.values()))
        job = account.jobs.popleft()
        if not account.jobs:
            del self._waiting[client]
        return client, job

    def _next(self) -> str:
        """The client whose turn it is: the first of the highest rank, or of a lower one that has earned a slice."""
        firsts: dict[int, str] = {}
        for name in sorted(self._waiting, key=lambda name: self._waiting[name].order()):
            firsts.setdefault(self._waiting[name].order()[0], name)
        for rank in sorted(firsts, reverse=True):
            if self._is_owed(self._waiting[firsts[rank]]):
                return firsts[rank]
        return firsts[min(firsts)]

    async def _count(self, client: str, job: _Job, took_s: float) -> None:
        """Counts a slice that has ended. Gives its client the time to send the next one, if that would come first."""
        account = self._clients.get(client)
        if account is None:
            return
        rank = account.rank(job)
        self._owed_s[rank] = max(0.0, self._owed_s[rank] - took_s)
        for lower in {other.order()[0] for other in self._waiting.values()}:
            if lower > rank:
                self._owed_s[lower] += took_s / FIRST_SHARE
        account.use(took_s)
        until = time.monotonic() + NEXT_S
        while self._waiting and client not in self._waiting and (left_s := until - time.monotonic()) > 0:
            rival = self._waiting[self._next()]
            if rival.order() <= (account.rank(job), job.deadline_ns or account.used_s) or self._is_owed(rival):
                return
            self._added.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._added.wait()
            except TimeoutError:
                return

    def _is_owed(self, account: _Client) -> bool:
        return self._owed_s[account.order()[0]] >= account.slice_s

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

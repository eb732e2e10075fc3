"""What clients may have in memory, and how many of their requests are worked on at once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from glasses.errors import Reason, RemoteError
from glasses.service.server.clients import Complaints, account_of

MAX_BYTES = 256 << 20  # of requests that came and are not done, of all clients
MAX_CLIENT_BYTES = 128 << 20  # of one of them
FREE_BYTES = 256 << 10  # a request of up to this size is taken in any case
WAITING = 32  # requests that may wait for a place; half of them of one client
WAIT_S = 20.0
RETRY_AFTER_S = 5
_complain = Complaints(logging.getLogger(__name__))


class Memory:
    """The bytes of requests that wait or are worked on: of all clients, and of one of them, at the most."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_client_bytes: int = MAX_CLIENT_BYTES) -> None:
        self._max_bytes, self._max_client_bytes = max_bytes, max_client_bytes
        self._held: Counter[str] = Counter()
        self._total = 0

    def take(self, address: Any, n_bytes: int, *, has: int = 0) -> None:
        """Counts `n_bytes` more of a request that has `has` already. Raises RemoteError(BUSY) where it is too much."""
        account = account_of(address)
        over_own = bool(account) and self._held[account] + n_bytes > self._max_client_bytes
        if has + n_bytes > FREE_BYTES and (over_own or self._total + n_bytes > self._max_bytes):
            limit = self._max_client_bytes if over_own else self._max_bytes
            whose = "its own requests" if over_own else "requests of all clients"
            _complain(address, f"was refused: {whose} hold over {limit >> 20} MB")
            raise RemoteError(Reason.BUSY, f"{whose} hold {limit >> 20} MB already; send this one later")
        self._held[account] += n_bytes
        self._total += n_bytes

    def release(self, address: Any, n_bytes: int) -> None:
        """Counts bytes that are gone."""
        account = account_of(address)
        self._total -= n_bytes
        self._held[account] -= n_bytes
        if self._held[account] <= 0:
            del self._held[account]


class Places:
    """Requests that are worked on at the same time; some more wait in the order in which they came."""

    def __init__(self, places: int) -> None:
        self._free = asyncio.Semaphore(places)
        self._waiting: Counter[str] = Counter()

    @property
    def n_waiting(self) -> int:
        """Requests that wait for a place."""
        return self._waiting.total()

    @asynccontextmanager
    async def place(self, address: Any) -> AsyncIterator[None]:
        """Waits for a place and holds it. Raises RemoteError(BUSY): too many wait, or none was free in time."""
        account = account_of(address)
        n, n_own = self._waiting.total(), self._waiting[account] if account else 0
        if self._free.locked() and (n >= WAITING or n_own >= WAITING // 2):
            n = n if n >= WAITING else n_own
            _complain(address, f"was refused: {n} requests wait already")
            raise RemoteError(Reason.BUSY, f"{n} requests wait already: ask again in {RETRY_AFTER_S} s")
        self._waiting[account] += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError as error:
            _complain(address, f"was refused after waiting {WAIT_S:.0f} s for its turn")
            message = f"no place was free within {WAIT_S:.0f} s: ask again in {RETRY_AFTER_S} s"
            raise RemoteError(Reason.BUSY, message) from error
        finally:
            self._waiting[account] -= 1
            if not self._waiting[account]:
                del self._waiting[account]
        try:
            yield
        finally:
            self._free.release()

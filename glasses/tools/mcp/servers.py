"""The configured MCP servers, connected: their tools come into the registry, and go on where a server comes back.

All connections live in one asyncio loop on a supervised thread. A server that cannot be reached, dies or hangs is
tried again after a pause that doubles; its tools stay in the registry meanwhile and say that it is gone. Nothing that a
server does can hold up another one or the assistant.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from mcp.types import CallToolResult

from glasses.system.supervised import FIRST_PAUSE_S, SupervisedThread
from glasses.tools.mcp.config import ServerConfig
from glasses.tools.mcp.connection import Connection, Surroundings
from glasses.tools.mcp.consent import Consents
from glasses.tools.registry import ToolRegistry

log = logging.getLogger(__name__)
START_S = 30.0  # for a server to start and to tell its tools; one that Python runs takes 1 to 8 s on a small board
CLOSE_S = 5.0  # for all to end


class McpServers:
    """Connects from `start` to `close`. `note` is told in sentences what came and went, `show` what is too long to say.

    Both are called on threads of this class.
    """

    def __init__(
        self,
        servers: Sequence[ServerConfig],
        registry: ToolRegistry,
        consents: Consents,
        *,
        note: Callable[[str], None] = lambda sentence: None,
        show: Callable[[str], None] = lambda text: None,
        start_s: float = START_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        around = Surroundings(registry, consents, note, show, start_s, first_pause_s, self._run_in_loop)
        self._connections = [Connection(one, around) for one in servers]
        self._closing = False
        self._thread = SupervisedThread(self._run, "MCP servers", policy="restart")

    def start(self) -> McpServers:
        """Begins to connect; returns at once."""
        self._thread.start()
        return self

    def wait(self, timeout_s: float = START_S + 5) -> None:
        """Waits until each server was tried once."""
        until_s = time.monotonic() + timeout_s
        for one in self._connections:
            one.tried.wait(max(0.0, until_s - time.monotonic()))

    @property
    def problems(self) -> dict[str, str]:
        """Why a server cannot be used now, by its name; only of those that cannot."""
        return {one.server.name: one.problem for one in self._connections if one.problem}

    def close(self) -> None:
        """Ends all connections and what was started; calls that wait fail. The tools leave the registry."""
        self._closing = True
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._end.set)
            except RuntimeError:
                log.debug("the loop has ended already")
        if not self._thread.close(CLOSE_S):
            log.error("MCP servers have not ended within %g s", CLOSE_S)
        for one in self._connections:
            one.forget_tools()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._end = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._closing:
            return
        async with asyncio.TaskGroup() as group:  # what `keep` raises is a bug: the thread's supervisor tells it
            tasks = [group.create_task(one.keep()) for one in self._connections]
            await self._end.wait()
            for task in tasks:
                task.cancel()

    def _run_in_loop(self, work: Coroutine[Any, Any, CallToolResult], timeout_s: float) -> CallToolResult:
        """What `work` returns in the loop; for any other thread. Raises what it raises, TimeoutError."""
        loop = self._loop
        if loop is None or loop.is_closed():
            work.close()
            raise ConnectionError("not connected")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(timeout_s)
        finally:
            future.cancel()

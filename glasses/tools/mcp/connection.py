"""The connection to one MCP server: connects and reconnects, keeps its tools in the registry, calls them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from mcp import Client, MCPError
from mcp.types import (
    CONNECTION_CLOSED,
    REQUEST_TIMEOUT,
    CallToolResult,
    Implementation,
    ToolListChangedNotification,
)

import glasses
from glasses.errors import InputError, Reason
from glasses.system.supervised import LONGEST_PAUSE_S, PROVEN_S
from glasses.tools.mcp.config import ServerConfig
from glasses.tools.mcp.consent import Consents
from glasses.tools.mcp.remote_tool import Described, RemoteTool, remote_tool
from glasses.tools.mcp.result import said_of
from glasses.tools.mcp.transports import http, stdio
from glasses.tools.plugins import add_each
from glasses.tools.printable import printable
from glasses.tools.registry import ToolRegistry

log = logging.getLogger(__name__)
MAX_TOOLS = 64  # of one server
MAX_PAGES = 16  # of its list
GRACE_S = 1.0  # a call's own time limit, the SDK's, comes first


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connection works with; see McpServers. `run_in_loop` runs a coroutine for another thread, with a limit."""

    registry: ToolRegistry
    consents: Consents
    note: Callable[[str], None]
    show: Callable[[str], None]
    start_s: float
    first_pause_s: float
    run_in_loop: Callable[[Coroutine[Any, Any, CallToolResult], float], CallToolResult]


class Connection:
    """One server: connects, keeps its tools, calls them."""

    def __init__(self, server: ServerConfig, surroundings: Surroundings) -> None:
        self.server, self.problem = server, ""
        self.tried = threading.Event()  # set after the first attempt
        self._around = surroundings
        self._client: Client | None = None
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._tools: list[RemoteTool] = []

    async def keep(self) -> None:
        """Connects, and again whenever the connection is lost; until it is cancelled."""
        pause_s = self._around.first_pause_s
        while True:
            began_s = time.monotonic()
            try:
                await self._connected()
                why = "it has ended"
            except InputError as error:
                why = str(error)
            except Exception as error:  # whatever a server, or the SDK with it, comes to
                why = _why(error)
                log.info("MCP server %s: %r", self.server.name, error)
            self._lost(why)
            pause_s = self._around.first_pause_s if time.monotonic() - began_s >= PROVEN_S else pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connected(self) -> None:
        """Until the connection ends. Raises InputError, and whatever the SDK does."""
        self._ended, self._changed = asyncio.Event(), asyncio.Event()
        transport = http if self.server.url else stdio
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._around.start_s):
                    client = await stack.enter_async_context(
                        Client(
                            transport(self.server, self._ended),
                            client_info=Implementation(name="glasses", version=glasses.__version__),
                            message_handler=self._on_message,
                            cache=None,
                        )
                    )
                    described = await _tools_of(client)
            except TimeoutError as error:
                raise InputError(Reason.TIMEOUT, f"it has not answered within {self._around.start_s:g} s") from error
            self._client = client
            try:
                self._use(described)
                while not self._ended.is_set():
                    waits = [asyncio.ensure_future(one.wait()) for one in (self._ended, self._changed)]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for one in waits:
                            one.cancel()
                    if self._changed.is_set() and not self._ended.is_set():
                        self._changed.clear()
                        self._use(await asyncio.wait_for(_tools_of(client), self._around.start_s))
            finally:
                self._client = None

    async def _on_message(self, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed.set()

    def _use(self, described: list[Described]) -> None:
        """Puts the server's tools into the registry; those that are the same stay as they are."""
        wanted = self.server.tools
        told: list[str] = []
        made: list[RemoteTool] = []
        for one in described:
            if wanted and one.name not in wanted:
                continue
            try:
                made.append(remote_tool(one, self.server, self._around.consents, self._call))
            except ValueError as error:
                told.append(f"tool {one.name[:60]!r}: {error}")
        told += [f"it has no tool {name!r}" for name in wanted if name not in {one.name for one in described}]
        before = {(one.own_name, one.description, repr(one.given_schema)): one for one in self._tools}
        made = [before.get((one.own_name, one.description, repr(one.given_schema)), one) for one in made]
        self._around.registry.remove(*(one for one in self._tools if one not in made))
        added, problems = add_each(self._around.registry, [one for one in made if one not in self._tools])
        self._tools = [one for one in made if one in self._tools or one in added]
        told += [str(one) for one in problems]
        self.problem = ""
        self.tried.set()
        self._around.note(f"MCP server {self.server.name}: {len(self._tools)} tools")
        for sentence in told:
            self._around.note(f"MCP server {self.server.name}: {sentence}")

    def _lost(self, why: str) -> None:
        if why != self.problem:
            self._around.note(f"MCP server {self.server.name} cannot be used: {why}")
        self.problem = why
        self.tried.set()

    def forget_tools(self) -> None:
        """Takes them out of the registry."""
        self._around.registry.remove(*self._tools)
        self._tools = []

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """On a worker thread. Raises InputError, whose message can be said."""
        called = self.server.name
        try:
            result = self._around.run_in_loop(self._called(name, dict(arguments)), self.server.timeout_s + GRACE_S)
        except TimeoutError as error:
            raise InputError(Reason.TIMEOUT, f"{called} has not answered in time") from error
        except InputError:
            raise
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                raise InputError(Reason.NO_NETWORK, f"{called} cannot be reached now") from error
            if error.code == REQUEST_TIMEOUT:
                raise InputError(Reason.TIMEOUT, f"{called} has not answered in time") from error
            raise InputError(Reason.BAD_INPUT, f"{called} says: {_short(error)}") from error
        except Exception as error:  # the connection, or an answer that is none
            log.info("MCP server %s: %r", called, error)
            raise InputError(Reason.NO_NETWORK, f"{called} cannot be reached now") from error
        said = said_of(result)
        if result.is_error:
            raise InputError(Reason.BAD_INPUT, f"{called} says: {said.said}")
        if said.shown:
            self._around.show(said.shown)
        return said.said

    async def _called(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        client = self._client
        if client is None:
            raise ConnectionError("not connected")
        call = asyncio.ensure_future(client.call_tool(name, arguments, read_timeout_seconds=self.server.timeout_s))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([call, ended], return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise ConnectionError("it ended")
            return call.result()
        except Exception as error:
            if self.server.url and not (isinstance(error, MCPError) and error.code != CONNECTION_CLOSED):
                self._ended.set()  # over HTTP nothing else tells
            raise
        finally:
            call.cancel()
            ended.cancel()


async def _tools_of(client: Client) -> list[Described]:
    found: list[Described] = []
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for one in page.tools:
            hints = one.annotations
            found.append(
                Described(
                    one.name,
                    one.description or one.title or "",
                    one.input_schema,
                    bool(hints and hints.destructive_hint),
                    bool(hints and hints.read_only_hint),
                )
            )
        cursor = page.next_cursor
        if not cursor or len(found) >= MAX_TOOLS:
            break
    return found[:MAX_TOOLS]


def _why(error: BaseException) -> str:
    """The first cause in a group of errors, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, InputError) else _short(error)


def _short(error: BaseException) -> str:
    said = printable(" ".join(str(error).split())) or type(error).__name__
    return said if len(said) <= 200 else said[:200] + "..."

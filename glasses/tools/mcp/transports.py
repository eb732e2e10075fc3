"""How a server is reached: as a child process over its pipes, or over streamable HTTP; both with a cap on what comes.

A transport is an async context manager of the SDK's two streams. It sets `ended` when the other side is gone, which
the SDK tells nobody who is not waiting for an answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import string
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from glasses.errors import InputError, Reason
from glasses.tools.mcp.config import ServerConfig
from glasses.tools.printable import printable

log = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 4 << 20
STOP_S = 1.0  # for a child to end when its input ends, and again when it is told to
_POLL_S = 0.01
# All that a child is given of our environment; keys of other programs are none of its business.
INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


def filled_in(texts: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`texts` with $NAME replaced from the environment. Raises InputError(NOT_FOUND) where there is none."""
    try:
        return {name: string.Template(text).substitute(environ) for name, text in texts.items()}
    except KeyError as error:
        raise InputError(Reason.NOT_FOUND, f"the variable {error.args[0]} is not set") from error
    except ValueError as error:
        raise InputError(Reason.BAD_INPUT, "a $ that names no variable: write $$ for the sign") from error


@asynccontextmanager
async def stdio(server: ServerConfig, ended: asyncio.Event) -> AsyncIterator[Streams]:
    """Starts the server's command; at the end it is stopped, with all that it started. Raises InputError(NOT_FOUND)."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ} | filled_in(server.env)
    try:
        process = await asyncio.create_subprocess_exec(
            server.command,
            *server.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            limit=MAX_MESSAGE_BYTES,
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(Reason.NOT_FOUND, f"{server.command} cannot be started: {error.strerror}") from error
    read_in, read_out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write_in, write_out = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with read_in, read_out, write_in, write_out, anyio.create_task_group() as tasks:
            tasks.start_soon(_read, process, read_in, server.name, ended)
            tasks.start_soon(_write, process, write_out)
            tasks.start_soon(_log_errors, process, server.name)
            try:
                yield read_out, write_in
            finally:
                tasks.cancel_scope.cancel()
    finally:
        ended.set()
        await _to_its_end(_stop(process))


@asynccontextmanager
async def http(server: ServerConfig, ended: asyncio.Event) -> AsyncIterator[Any]:
    """Connects to the server's address."""
    timeout = httpx2.Timeout(server.timeout_s, read=max(server.timeout_s, 300.0))  # a stream may be silent for long
    async with (
        httpx2.AsyncClient(headers=filled_in(server.headers), timeout=timeout, transport=_Capped()) as client,
        streamable_http_client(server.url, http_client=client) as streams,
    ):
        try:
            yield streams
        finally:
            ended.set()


async def _read(
    process: asyncio.subprocess.Process,
    into: MemoryObjectSendStream[SessionMessage | Exception],
    name: str,
    ended: asyncio.Event,
) -> None:
    assert process.stdout is not None
    try:
        async with into:
            while line := await process.stdout.readline():
                try:
                    message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError:
                    log.warning("MCP server %s: a line that is no message: %r", name, line[:200])
                    continue
                await into.send(message)
    except ValueError:  # of readline
        log.error("MCP server %s sent a message over %d bytes: it is stopped", name, MAX_MESSAGE_BYTES)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # nobody listens any more
    finally:
        ended.set()


async def _write(process: asyncio.subprocess.Process, out_of: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # it has ended, which `_read` tells
        async for one in out_of:
            process.stdin.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()


async def _log_errors(process: asyncio.subprocess.Process, name: str) -> None:
    """What it writes to its standard error belongs into the log, not between the lines for the wearer."""
    assert process.stderr is not None
    while part := await process.stderr.read(4096):
        for line in part.decode(errors="replace").splitlines():
            log.info("MCP server %s: %s", name, printable(line[:400]))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ends the process and what it started: by the end of its input, by SIGTERM, by SIGKILL.

    Polls, as `wait` waits for the end of the pipes too, which a grandchild may hold open.
    """
    if process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        until_s = time.monotonic() + STOP_S
        while process.returncode is None and time.monotonic() < until_s:
            await asyncio.sleep(_POLL_S)
        _signal(process, number)  # the group, which may be there without the process
    transport = getattr(process, "_transport", None)  # nothing public closes the pipes
    if transport is not None:
        transport.close()
    await process.wait()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Awaits it even where this task is cancelled meanwhile, which is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Capped(httpx2.AsyncHTTPTransport):
    """Refuses to read more than MAX_MESSAGE_BYTES of one answer in JSON. Streams of events have a cap in the SDK."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _CappedStream(response.stream)
        return response


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for part in self._stream:
            n_bytes += len(part)
            if n_bytes > MAX_MESSAGE_BYTES:
                raise httpx2.ReadError(f"an answer over {MAX_MESSAGE_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()

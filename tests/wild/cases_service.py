"""Clients of `glasses serve` that leave, say nothing, ask for too much, or are web pages (kinds 1, 2 and 19)."""

from __future__ import annotations

import asyncio
import atexit
import functools
import http.client
import json
import select
import socket
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import httpx
import websockets
from starlette.responses import JSONResponse

from glasses.service.client.transport import WebSocket
from glasses.service.protocol import events, messages, wire
from glasses.service.server.auth import BearerAuth, Scope
from tests.faults.fair_use import SILENT, STORY, WORDS, chat, post, serving, status
from tests.wild.case import Case

_events: wire.Decoder[events.Event] = wire.Decoder(events.Event)
_stack = ExitStack()
atexit.register(_stack.close)


@functools.cache
def _server() -> tuple[int, IO[str]]:
    """The port and the log of a `glasses serve` that all cases share."""
    log = _stack.enter_context(tempfile.TemporaryFile("w+"))  # noqa: SIM115  # until the process ends
    port, _ = _stack.enter_context(serving(log))
    return port, log


def _errors() -> str:
    """What the server has logged as errors so far."""
    log = _server()[1]
    log.seek(0)
    lines = log.read().splitlines()
    return f"{sum('ERROR' in line or 'Traceback' in line for line in lines)} errors logged"


def _next_answer() -> str:
    code, body = status(_server()[0])
    said = json.loads(body)["choices"][0]["message"]["content"] if code == 200 else body.decode()
    return f"{code} {said}, {_errors()}"


def _left(body: dict[str, object], n: int = 8, after_s: float = 0.2) -> Callable[[Path], str]:
    """Clients that ask and leave, then one that stays."""

    def came(_folder: Path) -> str:
        for _ in range(n):
            sock = post(_server()[0], body)
            time.sleep(after_s)
            sock.close()
        return _next_answer()

    return came


def _left_sockets(_folder: Path) -> str:
    async def leave() -> None:
        for _ in range(4):
            transport = WebSocket(f"ws://127.0.0.1:{_server()[0]}")
            await transport.open()
            for rid in (1, 2):
                await transport.send(wire.encode(messages.Open(rid)))
                opened, _ = _events.decode(await transport.receive())
                assert isinstance(opened, events.Opened)
                await transport.send(wire.encode(messages.Feed(3, opened.session, 1, [messages.Text(STORY)])))
                await transport.receive()
                how = messages.GenerationParams(1, max_tokens=1000)
                await transport.send(wire.encode(messages.Generate(4, opened.session, 2, how)))
            await transport.receive()  # a token
            transport._ws.transport.abort()  # type: ignore[union-attr]

    asyncio.run(leave())
    return _next_answer()


def _silent(said: bytes) -> Callable[[Path], str]:
    def came(_folder: Path) -> str:
        with ExitStack() as held:
            for _ in range(SILENT):
                sock = held.enter_context(socket.create_connection(("127.0.0.1", _server()[0])))
                sock.sendall(said)
            return _next_answer()

    return came


def _at_once(n: int) -> Callable[[Path], str]:
    def came(_folder: Path) -> str:
        with ThreadPoolExecutor(n) as pool:
            codes = [code for code, _ in pool.map(lambda _: status(_server()[0], "Hi", 4), range(n))]
        return ", ".join(f"{codes.count(code)} times {code}" for code in sorted(set(codes)))

    return came


def _beside_a_long_prompt(text: str) -> Callable[[Path], str]:
    def came(_folder: Path) -> str:
        with post(_server()[0], chat(text, 4)) as long:
            time.sleep(0.5)
            answer = _next_answer()
            is_read_still = not select.select([long], [], [], 0)[0]
        return f"{answer}, {'before' if is_read_still else 'after'} the long one"

    return came


def _headers(path: str, **headers: str) -> Callable[[Path], str]:
    def came(_folder: Path) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", _server()[0], timeout=30)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return f"{response.status} {body}"

    return came


def _page_opens_a_websocket(_folder: Path) -> str:
    async def opened() -> str:
        try:
            async with websockets.connect(f"ws://127.0.0.1:{_server()[0]}/v1/ws", origin="http://evil.example"):  # type: ignore[arg-type]
                return "opened"
        except websockets.InvalidStatus as refused:
            return f"{refused.response.status_code} {(refused.response.body or b'').decode()}"

    return asyncio.run(opened())


def _with_token(*said: str) -> Callable[[Path], str]:
    """What the door of a service with the token "secret" answers to these Authorization headers."""

    async def ok(scope: Scope, receive: Any, send: Any) -> None:
        await JSONResponse({})(scope, receive, send)

    async def statuses() -> list[int]:
        transport = httpx.ASGITransport(app=BearerAuth(ok, "secret"))  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [(await client.get("/v1", headers={"Authorization": one})).status_code for one in said]

    return lambda _folder: str(asyncio.run(statuses()))


RIGHT = r"^200 The capital of France is Paris\., 0 errors"
STREAMED = {**chat(STORY, 1000), "stream": True}
CASES = [
    Case(1, "eight clients ask for 1,000 tokens and leave", RIGHT, _left(chat(STORY, 1000)), is_listed=True),
    Case(1, "eight clients of a streamed answer leave", RIGHT, _left(STREAMED)),
    Case(1, "clients leave while their long prompt is read", RIGHT, _left(chat("word " * WORDS, 4), n=3, after_s=0.4)),
    Case(1, "WebSockets that are cut off with eight sessions at work", RIGHT, _left_sockets),
    Case(2, "70 connections that say nothing", RIGHT, _silent(b""), is_listed=True),
    Case(2, "70 connections with half a head", RIGHT, _silent(b"GET /hea"), is_listed=True),
    Case(
        2,
        "70 connections with half a body",
        RIGHT,
        _silent(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"),
    ),
    Case(2, "twelve requests at once", "^12 times 200$", _at_once(12), is_listed=True),
    Case(
        2,
        "a question beside a prompt of 1,900 words",
        RIGHT + ".*before the long one",
        _beside_a_long_prompt("word " * WORDS),
        is_listed=True,
    ),
    Case(
        2,
        "a question beside a prompt of 1,900 different words",
        RIGHT + ".*before the long one",
        _beside_a_long_prompt(" ".join(f"{i} apples" for i in range(100, 450))),
    ),
    Case(
        19,
        "a Host that is not this machine",
        "^421 .*Host",
        _headers("/v1/models", Host="evil.example"),
        is_listed=True,
    ),
    Case(19, "a Host that only begins like this machine", "^421", _headers("/health", Host="127.0.0.1.evil.example")),
    Case(
        19, "the scheme of a token in small letters", r"^\[200, 200\]", _with_token("bearer secret", "Bearer  secret")
    ),
    Case(19, "no token", r"^\[401, 401, 401\]", _with_token("Bearer", "Basic secret", "Bearer secre")),
    Case(19, "this machine by name", "^200", _headers("/v1/models", Host="localhost")),
    Case(19, "a web page asks", "^403 .*Origin", _headers("/v1/models", Origin="http://evil.example"), is_listed=True),
    Case(19, "a web page opens a WebSocket", "^403 .*Origin", _page_opens_a_websocket),
]

"""An app in a process of its own: `python -m tests.contract.kernel_app ADDRESS PROMPT N` answers PROMPT N times.

It prints a line of JSON for each answer: the ids of its tokens. With N 0 it floods, until it is killed: sessions,
prompts as large as may be, requests of HTTP that nobody reads the answers of.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading

from glasses.errors import RemoteError
from glasses.service.client import Client, SyncClient, WebSocket

TOKENS = 24


def answer(address: str, prompt: str, n: int) -> None:
    """Asks again and again, in a session each."""
    with SyncClient(lambda: WebSocket(address)) as client:
        for _ in range(n):
            session = client.open()
            session.feed(prompt)
            print(json.dumps([token.token_id for token in session.generate(max_tokens=TOKENS)]), flush=True)
            session.close()


async def flood(address: str) -> None:
    """Thousands of requests."""
    async with Client(WebSocket(address)) as client:
        threading.Thread(target=flood_http, args=(address,), daemon=True).start()
        print("flooding", flush=True)
        while True:
            await asyncio.gather(*(one(client) for _ in range(64)), return_exceptions=True)


async def one(client: Client) -> None:
    session = await client.open()
    await session.feed("dragon " * 9000)  # more than fits: refused
    await session.feed("dragon " * 500)
    async for _ in session.generate(max_tokens=1000):
        pass


def flood_http(address: str) -> None:
    """Requests of HTTP, each on a connection of its own."""
    body = json.dumps({"model": "x", "messages": [{"role": "user", "content": "dragon " * 2000}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    held = list[socket.socket]()
    while True:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(1.0)
        try:
            one.connect(address.removeprefix("unix:"))
            one.sendall(head + body)
        except OSError:
            held.clear()
        held = [*held[-200:], one]


if __name__ == "__main__":
    where, what, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        if times:
            answer(where, what, times)
        else:
            asyncio.run(flood(where))
    except RemoteError as error:
        sys.exit(f"{error.reason}: {error}")

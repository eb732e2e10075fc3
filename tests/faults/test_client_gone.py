"""What a client asked for ends with its connection, and the sessions of a WebSocket wait for it to come back."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from counting import ANSWER, N_VOCAB, CountingEngine

from glasses.errors import Reason, RemoteError
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.engines.engine import Context, Output, StreamedToken
from glasses.service.protocol import messages, wire
from glasses.service.protocol.messages import GenerationParams
from glasses.service.server.server import Listen, Running, serving
from glasses.service.server.service import Caps, Service

WAIT_S = 30.0  # no test waits so long unless something is wrong


class EndlessEngine(CountingEngine):
    """Answers without end, and counts the slices of work that it did."""

    n_fed = 0

    def feed(self, context: Context, inputs: Sequence[object], *, hidden: bool) -> Output:
        super().feed(context, inputs, hidden=hidden)
        context.state = context.state[-64:]  # there is always room
        context.n_past = len(context.state)
        self.n_fed += 1
        time.sleep(0.001)
        logits = np.zeros(N_VOCAB, np.float32)
        logits[ord("a")] = 9.0
        return Output(logits, np.zeros(4, np.float32) if hidden else None)


class StreamingEngine(CountingEngine):
    """Generates by itself, a token at a time as it is let, as a vLLM server does."""

    def __init__(self) -> None:
        super().__init__()
        self.n_open = self.n_opened = 0
        self.may = asyncio.Semaphore(0)

    async def stream(self, context: Context, params: GenerationParams) -> AsyncGenerator[StreamedToken, None]:
        self.n_open += 1
        self.n_opened += 1
        _, _, said = bytes(b for b in context.state if b < 256).decode().rpartition("assistant\n")
        try:
            for i, char in enumerate(ANSWER[len(said) :], len(said) + 1):
                await self.may.acquire()
                yield StreamedToken(ord(char), char, -0.1, [], "length" if i == len(ANSWER) else None)
        finally:
            self.n_open -= 1


def run(tmp_path: Path, engine: CountingEngine, scenario: Callable[[Service, Running], Awaitable[None]]) -> None:
    async def main() -> None:
        service = Service(lambda: engine, backend="counting", caps=Caps(sessions=4))
        async with serving(service, Listen(f"unix:{tmp_path}/s")) as running:
            await asyncio.wait_for(scenario(service, running), WAIT_S)

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


async def post(tmp_path: Path, path: str, body: bytes) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
    writer.write(f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return writer


def chat(*, stream: bool) -> bytes:
    message = {"role": "user", "content": "a long story"}
    return json.dumps({"messages": [message], "max_tokens": 1000, "stream": stream}).encode()


ONCE = wire.encode(messages.OneShot(1, [messages.Text("x")], GenerationParams(1, max_tokens=1000)))


@pytest.mark.parametrize(
    ("path", "body", "after"),
    [
        ("/v1/chat/completions", chat(stream=False), b""),
        ("/v1/chat/completions", chat(stream=True), b""),
        ("/v1/message", ONCE, b""),
        ("/v1/chat/completions", chat(stream=False), b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"),
    ],
    ids=["whole", "streamed", "once", "next request sent already"],
)
def test_service_client_that_leaves_ends_its_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, body: bytes, after: bytes
) -> None:
    engine = EndlessEngine()

    async def scenario(service: Service, _running: Running) -> None:
        for _ in range(6):  # more than there are sessions
            before = engine.n_fed
            writer = await post(tmp_path, path, body)
            await until(lambda before=before: engine.n_fed > before + 3)
            if after:
                writer.write(after)
                await asyncio.sleep(0.05)
            writer.close()
            await until(lambda: not service._sessions)
            fed = engine.n_fed
            await asyncio.sleep(0.05)
            assert engine.n_fed <= fed + 1  # the slice that ran
        assert len(asyncio.all_tasks()) < 12  # the readers are closed, too

    run(tmp_path, engine, scenario)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_service_client_that_leaves_while_it_waits_for_its_turn_gives_up_its_place(tmp_path: Path) -> None:
    engine = EndlessEngine()

    async def scenario(service: Service, _running: Running) -> None:
        writers = [await post(tmp_path, "/v1/chat/completions", chat(stream=False)) for _ in range(8)]
        await until(lambda: service.places.n_waiting == 5)  # three of four sessions are for HTTP
        for writer in writers:
            writer.close()
        await until(lambda: not service._sessions and not service.places.n_waiting)

    run(tmp_path, engine, scenario)


def test_session_without_its_client_does_no_work_until_it_is_back(tmp_path: Path) -> None:
    engine = EndlessEngine()

    async def scenario(_service: Service, running: Running) -> None:
        async with Client(WebSocket(running.address)) as client:
            session = await client.open()
            await session.feed("Count!")
            tokens = session.generate(max_tokens=60)
            text = [(await anext(tokens)).text for _ in range(3)]
            reconnected = client._reconnect
            client._reconnect = lambda error: away(reconnected, error)  # type: ignore[method-assign]
            client._transport._ws.transport.abort()  # type: ignore[attr-defined]
            text += [token.text async for token in tokens]
            assert "".join(text) == "a" * 60

    async def away(reconnect: Callable[..., Awaitable[bool]], error: Exception) -> bool:
        await asyncio.sleep(0.05)
        fed = engine.n_fed
        await asyncio.sleep(0.1)
        assert engine.n_fed == fed
        return await reconnect(error)

    run(tmp_path, engine, scenario)


def test_session_away_longest_makes_room_for_a_client_that_is_there(tmp_path: Path) -> None:
    async def scenario(service: Service, running: Running) -> None:
        for _ in range(3):
            async with Client(WebSocket(running.address)) as gone:
                await gone.open()
                await gone.open()
        async with Client(WebSocket(running.address)) as client:
            session = await client.open()
            await session.feed("Count!")
            assert "".join([token.text async for token in session.generate(max_tokens=100)]) == ANSWER
        assert len(service._sessions) == 4

    run(tmp_path, CountingEngine(), scenario)


def test_client_with_idle_sessions_gives_some_up_where_others_find_no_room(tmp_path: Path) -> None:
    async def scenario(service: Service, running: Running) -> None:
        service._caps = Caps(sessions=4, spare_idle_s=0.0)
        async with Client(WebSocket(running.address)) as greedy, Client(WebSocket(running.address)) as client:
            held = [await greedy.open() for _ in range(4)]
            for _ in range(2):
                await client.open()
            with pytest.raises(RemoteError) as caught:
                await client.open()
            assert caught.value.reason is Reason.BUSY
            left = [session.id in service._sessions for session in held]
            assert left == [False, False, True, True]  # the longest idle ones went

    run(tmp_path, CountingEngine(), scenario)


def test_generation_elsewhere_is_given_up_without_its_client_and_continued_for_it(tmp_path: Path) -> None:
    engine = StreamingEngine()

    async def scenario(_service: Service, running: Running) -> None:
        async with Client(WebSocket(running.address)) as client:
            session = await client.open()
            await session.feed("Count!")
            tokens = session.generate(max_tokens=len(ANSWER))
            for _ in range(4):
                engine.may.release()
            text = [(await anext(tokens)).text for _ in range(4)]
            client._transport._ws.transport.abort()  # type: ignore[attr-defined]
            await until(lambda: engine.n_opened == 2)
            assert engine.n_open == 1  # the first one was closed
            for _ in ANSWER[4:]:
                engine.may.release()
            text += [token.text async for token in tokens]
            assert "".join(text) == ANSWER
            silent = session.generate(max_tokens=5)
            asking = asyncio.ensure_future(anext(silent))
            await until(lambda: engine.n_opened == 3)
            await session.cancel()
            assert (await asking).last
        await until(lambda: engine.n_open == 0)

    run(tmp_path, engine, scenario)

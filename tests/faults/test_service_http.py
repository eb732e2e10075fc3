"""The service's HTTP side over a real socket, with a backbone that counts: access, one-shot calls, bad input, chat."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import websockets
from counting import ANSWER, CountingEngine

from glasses.errors import Reason, RemoteError
from glasses.service.client.client import Client
from glasses.service.client.transport import WebSocket
from glasses.service.protocol import events, messages, wire
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service

TOKEN = "0123456789abcdef0123"
_events: wire.Decoder[events.Event] = wire.Decoder(events.Event)
Scenario = Callable[[httpx.AsyncClient, str], Awaitable[None]]


def run(tmp_path: Path, scenario: Scenario, *, token: str | None = TOKEN) -> None:
    async def main() -> None:
        service = Service(CountingEngine, backend="counting", caps=Caps(sessions=4, linger_s=1.0))
        async with serving(service, Listen(f"unix:{tmp_path}/s", token)) as running:
            transport = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/s")
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as http:
                await scenario(http, running.address)

    asyncio.run(main())


def split(data: bytes) -> list[tuple[events.Event, list[np.ndarray]]]:
    out = []
    while data:
        (n,) = struct.unpack_from("<I", data)
        out.append(_events.decode(data[4 : 4 + n]))
        data = data[4 + n :]
    return out


def test_service_without_the_token_allows_only_health(tmp_path: Path) -> None:
    async def scenario(http: httpx.AsyncClient, address: str) -> None:
        for path in ("/v1/schema", "/v1/models", "/v1/chat/completions", "/v1/message", "/nothing"):
            for header in ("", "Bearer wrong", f"Bearer {TOKEN}x", TOKEN):
                assert (await http.get(path, headers={"Authorization": header})).status_code == 401
        assert (await http.get("/health", headers={"Authorization": ""})).status_code == 200
        assert (await http.get("/v1/schema")).json()["backend"] == "counting"
        with pytest.raises(RemoteError) as caught:
            async with Client(WebSocket(address, token="wrong")):
                pass
        assert caught.value.reason is Reason.REFUSED

    run(tmp_path, scenario)


def test_service_without_a_token_refuses_web_pages(tmp_path: Path) -> None:
    async def scenario(http: httpx.AsyncClient, _address: str) -> None:
        assert (await http.get("/v1/schema")).status_code == 200
        assert (await http.get("/v1/schema", headers={"Origin": "https://example.org"})).status_code == 403
        with pytest.raises(websockets.InvalidStatus):
            await websockets.unix_connect(f"{tmp_path}/s", "ws://here/v1/ws", origin="https://example.org")  # type: ignore[arg-type]

    run(tmp_path, scenario, token=None)


def test_service_one_shot_message_is_answered(tmp_path: Path) -> None:
    async def scenario(http: httpx.AsyncClient, _address: str) -> None:
        parts: list[messages.Part] = [messages.Rows(0), messages.Text("Count!")]
        request = messages.OneShot(5, parts, messages.GenerationParams(1, max_tokens=100))
        answer = await http.post("/v1/message?dtype=f16", content=wire.encode(request, [np.ones((2, 4))]))
        got = [event for event, _ in split(answer.content)]
        said = "".join(event.text for event in got if isinstance(event, events.TokenEvent))
        assert said == ANSWER
        assert isinstance(got[-1], events.Done)
        session = wire.encode(messages.Open(1))
        assert (await http.post("/v1/message", content=session)).status_code == 400
        step = messages.ForwardBackward(1, "run:1", [parts], messages.CrossEntropy([[1]]))
        answer = await http.post("/v1/message", content=wire.encode(step, [np.ones((2, 4))]))
        (event, (gradient,)) = split(answer.content)[0]
        assert isinstance(event, events.Gradients)
        assert np.array_equal(gradient, np.full((2, 4), 2.0))

    run(tmp_path, scenario)


def test_service_oversized_body_is_refused_while_it_arrives(tmp_path: Path) -> None:
    async def scenario(http: httpx.AsyncClient, _address: str) -> None:
        async def long() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield bytes(1 << 20)

        before = psutil.Process().memory_info().rss
        try:
            status = (await http.post("/v1/message", content=long())).status_code
        except (httpx.WriteError, httpx.ReadError):
            status = 413  # the connection was closed on the sender
        assert status == 413
        assert psutil.Process().memory_info().rss - before < 120 << 20

    run(tmp_path, scenario)


def test_service_garbage_on_the_socket_harms_no_other_session(tmp_path: Path) -> None:
    """3,000 mutated messages arrive beside a session that keeps counting."""

    async def scenario(_http: httpx.AsyncClient, address: str) -> None:
        rng = random.Random(0)
        seeds = [
            wire.encode(messages.Open(1)),
            wire.encode(messages.Feed(2, "a" * 22, 1, [messages.Rows(0)]), [np.ones((3, 4))]),
            wire.encode(messages.OneShot(3, [messages.Text("x")], messages.GenerationParams(1, max_tokens=2))),
            wire.encode(messages.AddToken(4, "<a>", "b")),
            wire.encode(messages.Attach(5, "b" * 22)),
        ]
        async with Client(WebSocket(address, token=TOKEN)) as client:
            session = await client.open()
            for _ in range(6):
                garbage = WebSocket(address, token=TOKEN)
                await garbage.open()
                for _ in range(500):
                    data = bytearray(rng.choice(seeds))
                    for _ in range(rng.randint(0, 3)):
                        data[rng.randrange(len(data))] = rng.randrange(256)
                    await garbage.send(bytes(data))
                await garbage.close()
                await session.feed("Count!")
                assert "".join([p.text async for p in session.generate(max_tokens=100)]) == ANSWER

    run(tmp_path, scenario)


def chat(content: object, **more: object) -> dict[str, object]:
    return {"model": "any", "messages": [{"role": "user", "content": content}], **more}


def test_service_chat_request_is_answered(tmp_path: Path) -> None:
    async def scenario(http: httpx.AsyncClient, _address: str) -> None:
        answer = (await http.post("/v1/chat/completions", json=chat("Count!", logprobs=True, top_logprobs=2))).json()
        assert answer["choices"][0]["message"] == {"role": "assistant", "content": ANSWER}
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert len(answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 2
        assert answer["usage"]["completion_tokens"] == len(ANSWER) + 1
        parts = [{"type": "text", "text": "x"}]
        short = (await http.post("/v1/chat/completions", json=chat(parts, max_tokens=3))).json()
        assert (short["choices"][0]["message"]["content"], short["choices"][0]["finish_reason"]) == ("0 1", "length")
        streamed = await http.post(
            "/v1/chat/completions", json=chat("Count!", stream=True, stream_options={"include_usage": True})
        )
        lines = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]) == ANSWER
        assert chunks[-1]["usage"]["completion_tokens"] == len(ANSWER) + 1
        assert (await http.get("/v1/models")).json()["data"][0]["object"] == "model"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"messages": []}',
        b'{"messages": [{"role": "robot", "content": "x"}]}',
        b'{"messages": [{"role": "user", "content": 5}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": 99}',
        json.dumps(chat([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}])).encode(),
        json.dumps(chat([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])).encode(),
        json.dumps(chat([{"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}}])).encode(),
        json.dumps(chat([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}])).encode(),
        json.dumps(
            chat([{"type": "input_audio", "input_audio": {"data": "bm90IGEgc291bmQ=", "format": "wav"}}])
        ).encode(),
        json.dumps(chat("x" * 70_000)).encode(),
        b"\xff\xfe" * 100,
    ],
)
def test_service_bad_chat_is_refused_and_leaves_no_session(tmp_path: Path, body: bytes) -> None:
    async def scenario(http: httpx.AsyncClient, _address: str) -> None:
        for _ in range(6):  # more than there are sessions
            answer = await http.post("/v1/chat/completions", content=body)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]["message"]
        assert (await http.post("/v1/chat/completions", json=chat("Count!"))).status_code == 200

    run(tmp_path, scenario)

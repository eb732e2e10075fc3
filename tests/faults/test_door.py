"""The door of the service: who holds a connection without asking for anything, who asks for another machine."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trustme
import websockets
from counting import CountingEngine

from glasses.service.server import door
from glasses.service.server.server import Listen, serving
from glasses.service.server.service import Caps, Service

TOKEN = "0123456789abcdef0123"
PLENTY = 70  # more than the 64 connections after which everybody was refused
Scenario = Callable[[str, int], Awaitable[None]]  # the URL and the port


def serve(scenario: Scenario, tls: tuple[Path, Path] | None = None, token: str | None = TOKEN) -> None:
    async def main() -> None:
        service = Service(CountingEngine, backend="counting", caps=Caps(sessions=4))
        listen = Listen("127.0.0.1:0", token, *(tls or ()))
        async with serving(service, listen) as running:
            port = int(running.address.rpartition(":")[2])
            await asyncio.wait_for(scenario(f"{'https' if tls else 'http'}://127.0.0.1:{port}", port), 60)

    asyncio.run(main())


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate, chain, key = authority.issue_cert("127.0.0.1"), tmp_path / "chain.pem", tmp_path / "key.pem"
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    return chain, key


@pytest.mark.parametrize("is_tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize(
    "said",
    [b"", b"GET /hea", b"POST /v1/message HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "half a head", "half a body"],
)
def test_service_with_silent_connections_answers_others_and_closes_them(
    tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, is_tls: bool, said: bytes
) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.5)

    async def scenario(url: str, port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(PLENTY)]
        for _, writer in held:
            writer.write(said)
        trusted = ssl.create_default_context(cafile=tls[0].parent / "ca.pem")
        async with httpx.AsyncClient(verify=trusted, headers={"Authorization": f"Bearer {TOKEN}"}) as http:
            assert (await http.get(f"{url}/v1/models")).status_code == 200
        if is_tls or b"\r\n\r\n" not in said:  # a body has half a minute
            for reader, _ in held:
                assert await reader.read() == b""
        for _, writer in held:
            writer.close()

    serve(scenario, tls if is_tls else None)


def test_service_head_that_trickles_in_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "HEAD_S", 0.3)

    async def scenario(_url: str, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\n")
        while not writer.transport.is_closing():  # at last the connection is reset under it
            writer.write(b"X-More: 1\r\n")
            await asyncio.sleep(0.02)
        writer.close()

    serve(scenario)


def test_service_with_too_many_connections_drops_the_oldest_that_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "MAX_CONNECTIONS", 8)

    async def scenario(url: str, port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/health")).status_code == 200
        assert await held[0][0].read() == b""
        for _, writer in held:
            writer.close()

    with caplog.at_level(logging.WARNING):
        serve(scenario)
    lines = [record.getMessage() for record in caplog.records if "over the limit of 8" in record.getMessage()]
    assert len(lines) == 1  # not one a connection
    assert lines[0].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("127.0.0.1", 200),
        ("LocalHost:{port}", 200),
        ("app.localhost.", 200),
        ("[::1]:{port}", 200),
        ("evil.example", 421),
        ("evil.example:{port}", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:{port}", 421),
        ("192.168.1.9:{port}", 421),
        ("[::1].evil.example", 421),
        ("", 421),
    ],
)
def test_service_on_the_loopback_answers_for_this_machine_only(host: str, status: int) -> None:
    async def scenario(url: str, port: int) -> None:
        async with httpx.AsyncClient() as http:
            for path in ("/v1/models", "/health"):
                answer = await http.get(url + path, headers={"Host": host.format(port=port)})
                assert answer.status_code == status
        if status == 421:
            assert "Host header" in answer.json()["error"]["message"]

    serve(scenario, token=None)


def test_service_with_a_token_may_be_asked_for_by_any_name() -> None:
    async def scenario(url: str, _port: int) -> None:
        async with httpx.AsyncClient() as http:
            headers = {"Host": "desk.example", "Authorization": f"Bearer {TOKEN}", "Origin": "https://desk.example"}
            assert (await http.get(f"{url}/v1/models", headers=headers)).status_code == 200

    serve(scenario)


def test_service_without_a_token_tells_web_pages_why_they_are_refused() -> None:
    async def scenario(url: str, port: int) -> None:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{url}/v1/models", headers={"Origin": "null"})
            assert answer.status_code == 403
            assert "Origin" in answer.json()["error"]["message"]
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(f"ws://127.0.0.1:{port}/v1/ws", origin="https://evil.example")  # type: ignore[arg-type]
        assert caught.value.response.status_code == 403
        assert b"Origin" in (caught.value.response.body or b"")

    serve(scenario, token=None)

"""`glasses mcp` as an agent's program starts it, asked by the SDK's own client."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, Implementation, TextContent

from glasses.__main__ import main
from glasses.assistant.agent_socket import serving
from glasses.tools.mcp.config import McpAllow
from tests.unit.assistant.test_agent_access import Worn

COMMAND = [sys.executable, "-m", "glasses", "mcp"]
ME = Implementation(name="tester", version="1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path


@pytest.fixture
def worn(folder: Path) -> Iterator[Worn]:
    """Glasses that let agents look and show."""
    glasses = Worn(folder, McpAllow(look=True, show=True))
    with serving(glasses.access.answer):
        yield glasses
    glasses.store.close()


def text_of(result: CallToolResult) -> str:
    (one,) = result.content
    assert isinstance(one, TextContent)
    return one.text


async def use(client: Client) -> None:
    names = {one.name: one for one in (await client.list_tools()).tools}
    assert list(names) == ["look", "listen", "say", "show", "recall"]
    assert names["look"].annotations is not None
    assert names["look"].annotations.read_only_hint
    assert text_of(await client.call_tool("show", {"text": "3 of 4"})) == "done"
    (picture,) = (await client.call_tool("look", {})).content
    assert isinstance(picture, ImageContent)
    assert (picture.mime_type, picture.data[:4]) == ("image/jpeg", "/9j/")
    refused = await client.call_tool("listen", {"seconds": 1})
    assert refused.is_error
    assert "does not let agents listen" in text_of(refused)
    assert (await client.call_tool("listen", {"seconds": 1000})).is_error


def started(folder: Path) -> StdioServerParameters:
    env = {**os.environ, "RUNTIME_DIRECTORY": str(folder / "run")}
    return StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=env)


def test_mcp_over_stdio_serves_the_sdks_client(worn: Worn, folder: Path) -> None:
    async def over_stdio() -> None:
        async with Client(started(folder), client_info=ME) as client:
            await use(client)

    asyncio.run(over_stdio())
    assert worn.order[:2] == ["tester shows: 3 of 4", ("show", "tester: 3 of 4")]


def test_mcp_without_running_glasses_says_so(folder: Path) -> None:
    async def over_stdio() -> str:
        async with Client(started(folder), client_info=ME) as client:
            return text_of(await client.call_tool("look", {}))

    assert "the glasses do not run" in asyncio.run(over_stdio())


def test_mcp_over_http_serves_who_has_the_token(worn: Worn, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = folder / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    url = f"http://127.0.0.1:{port}/mcp"
    options = ["--listen", f"127.0.0.1:{port}", "--token-file", str(token)]

    async def over_http() -> None:
        await until_served(url)
        async with httpx2.AsyncClient() as nobody:
            assert (await nobody.post(url, json={})).status_code == 401
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        async with (
            httpx2.AsyncClient(headers=headers) as known,
            Client(streamable_http_client(url, http_client=known), client_info=ME) as client,
        ):
            await use(client)

    process = subprocess.Popen([*COMMAND, *options])
    try:
        asyncio.run(over_http())
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


async def until_served(url: str) -> None:
    until_s = time.monotonic() + 60
    async with httpx2.AsyncClient() as client:
        while time.monotonic() < until_s:
            try:
                await client.get(url)
                return
            except httpx2.ConnectError:
                await asyncio.sleep(0.05)
    raise AssertionError("it does not serve")


def test_mcp_over_stdio_ends_at_a_signal(folder: Path) -> None:
    process = subprocess.Popen([*COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--listen", "127.0.0.1:0"], "go together"),
        (["--listen", "0.0.0.0:8790", "--token-file", "TOKEN"], "on this machine only"),
        (["--listen", "localhost", "--token-file", "TOKEN"], "must be HOST:PORT"),
    ],
)
def test_mcp_with_wrong_options_is_one_line(
    folder: Path, options: list[Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "token").write_text("0123456789abcdef0123456789abcdef\n")
    (folder / "token").chmod(0o600)
    given = [str(folder / "token") if one == "TOKEN" else one for one in options]
    assert main(["mcp", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line

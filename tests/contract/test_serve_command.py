"""`glasses serve` as a person starts it: the whole pocket bundle, a client, Ctrl-C."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from glasses.errors import GlassesError, Reason
from glasses.service.client.sync_client import SyncClient
from glasses.service.client.transport import WebSocket

pytestmark = pytest.mark.models


def serve(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glasses", "serve", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_serve_stopped_after_an_answer_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = tmp_path / "s"
    for folder in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(folder, str(tmp_path))
    with serve("--listen", f"unix:{socket}", "--added-tokens", str(tmp_path / "t")) as server:
        try:
            assert server.stdout
            about = json.loads(server.stdout.readline())
            assert about["address"] == f"unix:{socket}"
            with SyncClient(lambda: WebSocket(about["address"])) as client:
                session = client.open()
                session.feed("What is the capital of", " France?")
                pieces = list(session.generate(max_tokens=16, top_k=2))
                assert "Paris" in "".join(piece.text for piece in pieces)
                assert pieces[-1].last
                assert len(pieces[0].top) == 2
                session.feed("What time is it?")
                assert session.act()
        finally:
            server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
    assert server.returncode in (0, 130), errors
    assert "Traceback" not in errors
    assert not socket.exists()


EVAL = Path(__file__).parents[2] / "models/eval"


def picture(name: str) -> dict[str, Any]:
    data = base64.b64encode((EVAL / "pictures" / f"{name}.jpg").read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}", "detail": "auto"}}


def sound(name: str) -> dict[str, Any]:
    data = base64.b64encode((EVAL / "sounds" / f"{name}-0.ogg").read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}  # what it is, the bytes say


def chat(http: httpx.Client, *content: dict[str, Any], stream: bool) -> str:
    """Sends a chat request as the openai package does; returns the answer."""
    body = {"model": "pocket", "messages": [{"role": "user", "content": content}], "max_tokens": 24, "stream": stream}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    if not stream:
        return answer.json()["choices"][0]["message"]["content"]
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1])


def test_serve_openai_client_gets_pictures_and_sounds_named(tmp_path: Path) -> None:
    """Held-out photographs and recordings come before or after the question; two of three must be named."""
    token = tmp_path / "token"
    token.write_text("sk-0123456789abcdef\n")
    options = ("--listen", "127.0.0.1:0", "--added-tokens", str(tmp_path / "t"), "--token-file", str(token))
    with serve(*options) as server:
        try:
            assert server.stdout
            about = json.loads(server.stdout.readline())
            url = about["address"].replace("ws://", "http://")
            assert about["openai"] == f"{url}/v1"
            headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
            with httpx.Client(base_url=url, headers=headers, timeout=300) as http:
                ask = {"type": "text", "text": "What is in this picture?"}
                seen = [chat(http, ask, picture(name), stream=False) for name in ("butterfly", "bucket", "alpaca")]
                ask = {"type": "text", "text": "What is this sound?"}
                heard = [chat(http, sound(name), ask, stream=True) for name in ("cat", "cow", "applause")]
        finally:
            server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    wanted = (("butterfly",), ("bucket",), ("alpaca", "llama")), (("cat", "meow"), ("cow", "moo"), ("applau", "clap"))
    for answers, names in zip((seen, heard), wanted, strict=True):
        named = [any(n in answer.lower() for n in some) for answer, some in zip(answers, names, strict=True)]
        assert sum(named) >= 2, answers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "0.0.0.0:0"), "can be reached from other machines"),
        (("--listen", "nowhere"), "neither unix:PATH nor HOST:PORT"),
        (("--token-file", "/nonexistent"), "cannot read the token"),
        (("--token-file", "/dev/zero"), "so no token"),
        (("--sessions", "0"), "at least 1"),
    ],
)
def test_serve_invalid_options_fail_with_one_line(options: tuple[str, ...], message: str) -> None:
    with serve(*options) as server:
        _, errors = server.communicate(timeout=120)
    assert server.returncode == 2
    assert message in errors
    assert "Traceback" not in errors


def test_client_without_a_service_raises_at_once(tmp_path: Path) -> None:
    with pytest.raises(GlassesError) as caught, SyncClient(lambda: WebSocket(f"unix:{tmp_path}/none")):
        pass
    assert caught.value.reason is Reason.NO_NETWORK

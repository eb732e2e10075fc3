"""`glasses serve` as a person starts it: the whole pocket bundle, a client, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glasses.errors import GlassesError, Reason
from glasses.service.sync_client import SyncClient
from glasses.service.transport import WebSocket

pytestmark = pytest.mark.models


def serve(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glasses", "serve", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_serve_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    with serve("--listen", f"unix:{socket}", "--tokens", str(tmp_path / "t")) as server:
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
        finally:
            server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=60)
    assert server.returncode in (0, 130), errors
    assert "Traceback" not in errors
    assert not socket.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "0.0.0.0:0"), "can be reached from other machines"),
        (("--listen", "nowhere"), "neither unix:PATH nor HOST:PORT"),
        (("--token-file", "/nonexistent"), "cannot read the token"),
        (("--sessions", "0"), "at least 1"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(options: tuple[str, ...], message: str) -> None:
    with serve(*options) as server:
        _, errors = server.communicate(timeout=120)
    assert server.returncode == 2
    assert message in errors
    assert "Traceback" not in errors


def test_nobody_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(GlassesError) as caught, SyncClient(lambda: WebSocket(f"unix:{tmp_path}/none")):
        pass
    assert caught.value.reason is Reason.NO_NETWORK

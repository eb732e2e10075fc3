"""The `hf:` source: the real huggingface_hub client against a hub of our own on the loopback interface."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REVISION = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = os.urandom(1 << 20) * 24  # more than one of the client's 10 MiB blocks, so that a part gets to its disk
ORIGIN = f"hf:someone/tiny@{REVISION}:sub/w.bin"

# The client reads HF_ENDPOINT when it is imported, so each pull is a process of its own.
PULL = """
import pathlib, sys
from glasses.model_store import manifests, store
from glasses.errors import GlassesError
manifests.MANIFESTS = pathlib.Path(sys.argv[1])
try:
    print(store.pull(["tiny"])[0].path)
except GlassesError as error:
    sys.exit(f"{error.reason}: {error}")
"""


class Hub(http.server.ThreadingHTTPServer):
    """Serves one file as the hub does: HEAD for its size and commit, GET with ranges."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.content = WEIGHTS
        self.stall_after: int | None = None  # stop sending there and keep the line open
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.ranges: list[str | None] = []


class HubRequest(http.server.BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]  # as socketserver's own documentation does
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def _start(self) -> int | None:
        """Sends the headers and returns from where to send, or None if there is no such file."""
        if self.path != f"/someone/tiny/resolve/{REVISION}/sub/w.bin":
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        wanted = self.headers.get("Range") if self.command == "GET" else None
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{hashlib.sha256(self.server.content).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            size = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        return start

    def do_HEAD(self) -> None:
        self._start()

    def do_GET(self) -> None:
        start = self._start()
        if start is None:
            return
        self.server.ranges.append(self.headers.get("Range"))
        if (stop := self.server.stall_after) is not None:
            self.wfile.write(self.server.content[start:stop])
            self.server.stalled.set()
            self.server.go_on.wait()
            self.close_connection = True
            return
        self.wfile.write(self.server.content[start:])


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def start_pull(tmp_path: Path, endpoint: str, origin: str = ORIGIN) -> subprocess.Popen[str]:
    lines = ['name = "tiny"', 'role = "source"', 'licence = "CC0-1.0"', 'upstream = "none"', "[[files]]"]
    lines += ['name = "w.bin"', f"size_bytes = {len(WEIGHTS)}", f'sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"']
    (tmp_path / "tiny.toml").write_text("\n".join([*lines, f"sources = {json.dumps([origin])}"]))
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "GLASSES_MODELS": str(tmp_path / "c")}
    command = [sys.executable, "-c", PULL, str(tmp_path)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def url(hub: Hub) -> str:
    return f"http://127.0.0.1:{hub.server_port}"


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate()
    return out, err


def usable(tmp_path: Path) -> bool:
    return (tmp_path / "c" / hashlib.sha256(WEIGHTS).hexdigest() / "w.bin").exists()


def test_pull_from_a_hub_brings_the_file(tmp_path: Path, hub: Hub) -> None:
    out, err = finished(start_pull(tmp_path, url(hub)))
    assert Path(out.strip()).read_bytes() == WEIGHTS, err
    assert hub.ranges == [None]


def test_pull_from_a_hub_that_was_killed_resumes(tmp_path: Path, hub: Hub) -> None:
    hub.stall_after = 20 << 20
    process = start_pull(tmp_path, url(hub))
    assert hub.stalled.wait(300), "the client never asked for the file"
    begun = tmp_path / "c" / ".stage" / "tiny" / "hf" / "someone" / "tiny" / REVISION / "sub" / "w.bin"
    while process.poll() is None and not begun.stat().st_size:
        hub.go_on.wait(0.01)  # the client writes a block at a time
    process.kill()
    finished(process)
    assert not usable(tmp_path)
    hub.stall_after = None
    out, err = finished(start_pull(tmp_path, url(hub)))
    assert Path(out.strip()).read_bytes() == WEIGHTS, err
    assert hub.ranges[-1] is not None
    assert int(hub.ranges[-1].removeprefix("bytes=").removesuffix("-")) > 0


def test_pull_from_a_hub_file_absent_or_changed_is_refused(tmp_path: Path, hub: Hub) -> None:
    _, err = finished(start_pull(tmp_path, url(hub), ORIGIN.replace("w.bin", "v.bin")))
    assert err.startswith("not_found:"), err
    hub.content = WEIGHTS[:-1]
    _, err = finished(start_pull(tmp_path, url(hub)))
    assert err.startswith("corrupt:"), err
    assert "25,165,823 bytes, the manifest says 25,165,824" in err
    hub.content = WEIGHTS[::-1]
    _, err = finished(start_pull(tmp_path, url(hub)))
    assert err.startswith("corrupt:"), err
    assert "not used" in err
    assert not usable(tmp_path)


def test_pull_without_a_hub_is_no_network(tmp_path: Path) -> None:
    _, err = finished(start_pull(tmp_path, "http://127.0.0.1:9"))  # nobody listens there
    assert "no_network:" in err
    assert "check the network" in err

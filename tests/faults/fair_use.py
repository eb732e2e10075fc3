"""What one client of `glasses serve` waits for beside others that take all they can get.

    python -m tests.faults.fair_use          prints the times alone and beside them, and their ratio

Beside it are eight clients that ask for 1,000 tokens and leave, 70 connections that say nothing, and a prompt of 1,900
words. What is timed are a short question over HTTP, and a wearer's spoken turn that glasses offload to the service.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from glasses.offload.answerer import WAIT_MS
from glasses.offload.remote import RemoteModel
from glasses.service.client.transport import WebSocket
from tests.wild.world import FRANCE, bundle

STORY = "Write a very long story about a dragon and a princess with many chapters."
LEAVING, SILENT, WORDS = 8, 70, 1900
MANY = 12  # times as long as alone: on a busy machine, where the long prompt takes fifty times as long


@dataclass(frozen=True, slots=True)
class FairUse:
    """Times in seconds; those of the wearer are to the first token. `long_ran_on`: the long prompt was still read when
    all of them had been answered.
    """

    question_alone_s: float
    question_beside_s: float
    wearer_alone_s: float
    wearer_beside_s: float
    deadline_s: float
    long_ran_on: bool
    question_after_s: float
    errors: str  # what the service logged as an error

    @property
    def ratio(self) -> float:
        """How many times as long the question took beside the others."""
        return self.question_beside_s / self.question_alone_s


@contextlib.contextmanager
def serving(log: int | IO[str] = subprocess.PIPE) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A `glasses serve` of its own on a free port of the loopback: the port, and the process. It logs to `log`."""
    command = [sys.executable, "-m", "glasses", "serve", "--json", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout
        try:
            yield int(json.loads(process.stdout.readline())["address"].rpartition(":")[2]), process
        finally:
            process.send_signal(signal.SIGINT)


def chat(text: str, max_tokens: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}


def status(port: int, text: str = "What is the capital of France?", max_tokens: int = 16) -> tuple[int, bytes]:
    """Asks for an answer; its status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(chat(text, max_tokens)))
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def ask(port: int) -> float:
    """Asks a short question; the seconds that the answer took."""
    began = time.monotonic()
    code, answer = status(port)
    assert code == 200, answer
    assert b"Paris" in answer
    return time.monotonic() - began


def post(port: int, body: dict[str, Any]) -> socket.socket:
    """Sends a request and does not wait for its answer."""
    data = json.dumps(body).encode()
    sock = socket.create_connection(("127.0.0.1", port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
    sock.sendall(head.encode() + data)
    return sock


def offload(remote: RemoteModel, inputs: Any) -> float:
    """A turn answered by the service: the seconds to its first token."""
    began = time.monotonic()
    stream = remote.answer(inputs, 24)
    first_s, text = 0.0, ""
    while (token := stream.get(60)) is not None:
        first_s = first_s or time.monotonic() - began
        text += token.text
    assert "Paris" in text, text
    return first_s


def measure(rounds: int = 3) -> FairUse:
    """Starts a service and measures. Of several rounds the slowest counts beside the others, the quickest alone."""
    latents: Any = bundle().encode_audio(_speech())
    with serving() as (port, process), RemoteModel(lambda: WebSocket(f"ws://127.0.0.1:{port}", dtype="f16")) as remote:
        assert remote.wait_connected(60)
        alone = [(ask(port), offload(remote, latents)) for _ in range(rounds)]
        with contextlib.ExitStack() as held:
            for _ in range(LEAVING):
                leaving = post(port, chat(STORY, 1000))
                time.sleep(0.2)
                leaving.close()
            for _ in range(SILENT):
                held.enter_context(socket.create_connection(("127.0.0.1", port)))
            long = held.enter_context(post(port, chat("word " * WORDS, 4)))
            time.sleep(1.0)
            beside = [(ask(port), offload(remote, latents)) for _ in range(rounds)]
            ran_on = not select.select([long], [], [], 0)[0]
        after_s = ask(port)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=60)
    return FairUse(
        question_alone_s=min(question for question, _ in alone),
        question_beside_s=max(question for question, _ in beside),
        wearer_alone_s=min(wearer for _, wearer in alone),
        wearer_beside_s=max(wearer for _, wearer in beside),
        deadline_s=WAIT_MS / 1000,
        long_ran_on=ran_on,
        question_after_s=after_s,
        errors="\n".join(line for line in log.splitlines() if "ERROR" in line or "Traceback" in line),
    )


def _speech() -> Any:
    from glasses.audio.sound_files import read_audio  # noqa: PLC0415

    return read_audio(FRANCE)


if __name__ == "__main__":
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    print(json.dumps({**asdict(result), "ratio": round(result.ratio, 2)}, indent=1))

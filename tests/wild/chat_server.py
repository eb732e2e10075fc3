"""A `glasses serve` process for the cases of the chat API: started once, ended with the tests."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import subprocess
import sys
import tempfile
from typing import Any

import httpx

from tests.wild.world import PENGUIN

USER = [{"role": "user", "content": "What is the capital of France?"}]
PENGUIN_64 = base64.b64encode(PENGUIN.read_bytes()).decode()


@functools.cache
def address() -> str:
    """Where it listens."""
    folder = tempfile.mkdtemp()
    command = [sys.executable, "-m", "glasses", "serve", "--json", "--listen", "127.0.0.1:0", "--tokens", f"{folder}/t"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def end() -> None:
        process.terminate()
        process.communicate(timeout=30)

    atexit.register(end)
    assert process.stdout
    return json.loads(process.stdout.readline())["address"].replace("ws://", "http://")


def post(path: str, **sent: Any) -> httpx.Response:
    """One request, with httpx's `content`, `json`, `data` or `files`."""
    return httpx.post(f"{address()}{path}", timeout=120, **sent)


def said(answer: httpx.Response) -> str:
    """`200: text (finish reason) note: ...`, with the functions that were called, or the status, the code and the
    message.
    """
    if answer.status_code != 200:
        error = answer.json()["error"]
        return f"{answer.status_code} {error['code']} {error['message']}"
    if answer.headers["content-type"].startswith("text/event-stream"):
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        deltas = [event["choices"][0]["delta"].get("content", "") for event in events if event.get("choices")]
        return f"200: {'|'.join(one for one in deltas if one)}{_notes(events[-1])}"
    body = answer.json()
    if "choices" not in body:
        return f"200: {json.dumps(body)}"
    lines = []
    for choice in body["choices"]:
        message = choice.get("message", {"content": choice.get("text")})
        calls = [call["function"]["name"] + call["function"]["arguments"] for call in message.get("tool_calls", [])]
        lines.append(f"{message['content']} ({choice['finish_reason']}) {' '.join(calls)}".strip())
    return "200: " + "\n".join(lines) + _notes(body)


def _notes(answer: dict[str, Any]) -> str:
    return "".join(f" note: {one}" for one in answer.get("notes", []))


def chat(**fields: Any) -> str:
    """What comes of a chat request."""
    body = {"messages": USER, "max_tokens": 16, **fields}
    return said(post("/v1/chat/completions", json={k: v for k, v in body.items() if v is not ...}))


def see(url: Any) -> str:
    """What comes of a picture with this image_url."""
    parts = [{"type": "text", "text": "What is in view?"}, {"type": "image_url", "image_url": url}]
    return chat(messages=[{"role": "user", "content": parts}])

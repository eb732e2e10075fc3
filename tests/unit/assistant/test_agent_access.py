"""What other agents may do: only what is allowed, told to the wearer first, and nothing of it while muted."""

from __future__ import annotations

import io
import socket
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from glasses.assistant import agent_access
from glasses.assistant.agent_access import AgentAccess
from glasses.assistant.agent_messages import ACTS, MAX_REQUEST_BYTES, MAX_TEXT, AgentAnswer, AgentRequest
from glasses.assistant.agent_socket import MAX_AGENTS, NAME, ask, serving
from glasses.errors import InputError, Reason, RemoteError
from glasses.events import ShowText
from glasses.tools.mcp.config import McpAllow
from glasses.tools.store import ToolStore
from glasses.types import AudioChunk, Frame

ALL = McpAllow(look=True, listen=True, say=True, show=True, recall=True)
NONE = McpAllow(show=False)


class Worn:
    """Glasses of which a look brings a picture and whose microphone hears."""

    def __init__(self, tmp_path: Path, allow: McpAllow = ALL) -> None:
        self.muted = False
        self.order: list[Any] = []  # notes, looks, what was said and published, as they came
        self.store = ToolStore(tmp_path / "tools.db")
        self.access = AgentAccess(self, allow, self.store, note=self.order.append)
        self.has_camera = True

    def look(self) -> None:
        self.order.append("look")
        if self.has_camera:
            rgb = np.full((1000, 2000, 3), (10, 200, 30), np.uint8)
            threading.Thread(target=lambda: self.feed(Frame(time.monotonic_ns(), 1, rgb))).start()

    def say(self, text: str) -> None:
        self.order.append(("say", text))

    def publish(self, event: object) -> None:
        if isinstance(event, ShowText):
            self.order.append(("show", event.text))

    def feed(self, event: Frame | AudioChunk) -> None:
        self.access.handlers[type(event)](event)

    def ask(self, act: str, text: str = "", **more: Any) -> AgentAnswer:
        return self.access.answer(AgentRequest(act, "coder", text, **more))  # type: ignore[arg-type]


@pytest.fixture
def worn(tmp_path: Path) -> Iterator[Callable[..., Worn]]:
    made: list[Worn] = []

    def make(allow: McpAllow = ALL) -> Worn:
        made.append(Worn(tmp_path, allow))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def test_access_default_lets_agents_show_only() -> None:
    assert McpAllow() == McpAllow(look=False, listen=False, say=False, show=True, recall=False)


@pytest.mark.parametrize("act", ACTS)
def test_access_of_what_is_not_allowed_is_refused_and_touches_nothing(worn: Callable[..., Worn], act: str) -> None:
    glasses = worn(NONE)
    answer = glasses.ask(act, "words")
    assert (answer.reason, answer.data) == (Reason.REFUSED, b"")
    assert f"{act} = true" in answer.error
    assert glasses.order == []
    assert glasses.access.handlers == {}


def test_look_tells_the_wearer_first_and_gives_a_picture_of_bounded_size(worn: Callable[..., Worn]) -> None:
    glasses = worn()
    answer = glasses.ask("look")
    assert glasses.order == ["coder looks through your camera", ("show", "coder looks through your camera"), "look"]
    assert answer.media_type == "image/jpeg"
    seen = cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None
    assert seen.shape == (640, 1280, 3)
    assert abs(int(seen[5, 5, 1]) - 200) < 5


def test_look_without_a_picture_says_so(worn: Callable[..., Worn], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_access, "PICTURE_S", 0.05)
    glasses = worn()
    glasses.has_camera = False
    assert "no picture came" in glasses.ask("look").error


def test_look_gives_no_picture_from_before_it(worn: Callable[..., Worn], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_access, "PICTURE_S", 0.05)
    glasses = worn()
    glasses.feed(Frame(time.monotonic_ns(), 1, np.zeros((8, 8, 3), np.uint8)))
    glasses.has_camera = False
    assert glasses.ask("look").error


def test_listen_gives_the_sound_from_then_on_and_forgets_it(worn: Callable[..., Worn]) -> None:
    glasses = worn()
    stop = threading.Event()

    def hear() -> None:
        while not stop.wait(0.005):
            glasses.feed(AudioChunk(time.monotonic_ns(), 0, np.full(320, 77, np.int16), 16_000))

    thread = threading.Thread(target=hear)
    thread.start()
    try:
        answer = glasses.ask("listen", seconds=0.2)
    finally:
        stop.set()
        thread.join()
    with wave.open(io.BytesIO(answer.data)) as file:
        assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
        assert set(np.frombuffer(file.readframes(file.getnframes()), np.int16)) == {77}
    assert glasses.order[0] == "coder listens for 0.2 seconds"
    assert not glasses.access._sound


@pytest.mark.parametrize("seconds", [0, -1, 11, float("nan"), float("inf")])
def test_listen_for_a_time_that_is_none_is_refused(worn: Callable[..., Worn], seconds: float) -> None:
    assert worn().ask("listen", seconds=seconds).reason == Reason.BAD_INPUT


@pytest.mark.parametrize("act", ["look", "listen"])
def test_access_to_muted_glasses_is_refused(worn: Callable[..., Worn], act: str) -> None:
    glasses = worn()
    glasses.muted = True
    assert "muted" in glasses.ask(act).error
    assert glasses.order == []


def test_say_and_show_name_the_agent_and_hold_no_control_characters(worn: Callable[..., Worn]) -> None:
    glasses = worn()
    glasses.access.answer(AgentRequest("say", "co\x1b[1mder\n" + "x" * 99, "It\n is\x07 done."))
    glasses.ask("show", "3 of 4")
    assert glasses.order[1] == ("say", f"co1mder{'x' * 33}: It is done.")
    assert glasses.order[3] == ("show", "coder: 3 of 4")
    assert glasses.ask("say", " \x00 ").reason == Reason.BAD_INPUT
    assert glasses.ask("say", "x" * (MAX_TEXT + 1)).reason == Reason.TOO_LARGE


def test_recall_tells_the_wearers_notes(worn: Callable[..., Worn]) -> None:
    glasses = worn()
    assert glasses.ask("recall", "seat").text
    assert glasses.order == ["coder reads your notes about seat"]


def test_access_too_often_is_refused(worn: Callable[..., Worn], monkeypatch: pytest.MonkeyPatch) -> None:
    glasses = worn()
    answers = [glasses.ask("show", "now") for _ in range(agent_access.PER_MINUTE + 1)]
    assert [one.reason for one in answers] == [""] * agent_access.PER_MINUTE + [Reason.BUSY]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run" / NAME


def test_ask_where_no_glasses_run_says_so(path: Path) -> None:
    with pytest.raises(InputError, match="the glasses do not run") as failed:
        ask(AgentRequest("look"))
    assert failed.value.reason is Reason.NOT_FOUND


def test_socket_carries_requests_and_is_this_users_alone(path: Path) -> None:
    def answer(request: AgentRequest) -> AgentAnswer:
        return AgentAnswer(text=f"{request.act} {request.agent}", data=b"\x00\xff")

    with serving(answer):
        assert path.stat().st_mode & 0o777 == 0o600
        assert ask(AgentRequest("look", "coder")) == AgentAnswer(text="look coder", data=b"\x00\xff")
    assert not path.exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense\n", Reason.BAD_INPUT),
        (b'{"act": "format_disk"}\n', Reason.BAD_INPUT),
        (b'{"act": "say", "more": 1}\n', Reason.BAD_INPUT),
        (b"x" * (MAX_REQUEST_BYTES + 1) + b"\n", Reason.TOO_LARGE),
    ],
)
def test_socket_answers_what_is_no_request_with_the_reason(path: Path, line: bytes, reason: Reason) -> None:
    with serving(lambda request: AgentAnswer(text="done")), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(line)
        with sock.makefile("rb") as file:
            assert msgspec.json.decode(file.readline(), type=AgentAnswer).reason == reason
    with serving(lambda request: AgentAnswer(text="done")):
        assert ask(AgentRequest("show")).text == "done"


def test_socket_with_too_many_agents_closes_the_next_and_goes_on_afterwards(path: Path) -> None:
    with serving(lambda request: AgentAnswer(text="done")):
        silent = [socket.socket(socket.AF_UNIX) for _ in range(MAX_AGENTS)]
        for one in silent:
            one.connect(str(path))
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            try:
                ask(AgentRequest("show"))
            except RemoteError:
                break
        else:
            raise AssertionError("one more was served")
        for one in silent:
            one.close()
        while time.monotonic() < until_s:
            try:
                assert ask(AgentRequest("show")).text == "done"
                break
            except RemoteError:
                time.sleep(0.01)

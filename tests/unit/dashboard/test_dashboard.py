"""The dashboard over a real socket: who may look, what is shown, what a switch does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import httpx
import numpy as np
import pytest

from glasses.dashboard.server import WATCHERS, serving
from glasses.dashboard.status import GATES_KEPT, SILENT_DBFS, TURNS_KEPT, Bar, Panel, TurnView
from glasses.errors import InputError, Reason
from glasses.types import AudioChunk, Frame


@dataclass
class Switches:
    """Keeps what the switches of the page were set to."""

    muted: list[bool] = field(default_factory=list)
    wiped: int = 0
    follows: bool = True

    def mute(self, muted: bool) -> bool:
        self.muted.append(muted)
        return self.follows

    def wipe(self) -> None:
        self.wiped += 1


@dataclass
class Served:
    panel: Panel
    switches: Switches
    address: str
    token: str


@pytest.fixture
def served() -> Iterator[Served]:
    panel, switches = Panel(), Switches()
    with serving(panel, mute=switches.mute, wipe=switches.wipe, port=0) as url:
        address, _, token = url.partition("/?token=")
        yield Served(panel, switches, address, token)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """A browser that came by the printed address."""
    with httpx.Client(base_url=served.address, follow_redirects=True, timeout=20) as opened:
        page = opened.get("/", params={"token": served.token})
        assert page.status_code == 200
        assert served.token not in str(page.url)
        yield opened


def first_event(client: httpx.Client) -> dict[str, object]:
    with client.stream("GET", "/events") as stream:
        line = next(line for line in stream.iter_lines() if line)
    return json.loads(line.removeprefix("data: "))


PATHS = ("/", "/page.js", "/events", "/camera.jpg", "/hud.jpg")


def test_dashboard_without_the_token_shows_and_switches_nothing(served: Served) -> None:
    for headers in ({}, {"cookie": "glasses_dashboard=wrong"}, {"cookie": "glasses_dashboard="}):
        with httpx.Client(base_url=served.address, headers=headers) as stranger:
            answers = [stranger.get(path) for path in PATHS]
            answers += [stranger.get("/", params={"token": "x" * 32})]
            answers += [stranger.post(path, json={"muted": True}) for path in ("/mute", "/wipe")]
        assert {answer.status_code for answer in answers} == {401}
        assert not any(served.token in answer.text for answer in answers)
    assert (served.switches.muted, served.switches.wiped) == ([], 0)


def test_dashboard_listens_on_this_machine_only(served: Served) -> None:
    assert served.address.startswith("http://127.0.0.1:")


def test_dashboard_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Served) -> None:
    answer = httpx.get(served.address, params={"token": served.token})
    assert answer.status_code == 303
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    page = httpx.get(served.address, cookies=dict(answer.cookies))
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_dashboard_snapshot_is_what_the_panel_was_given(served: Served, client: httpx.Client) -> None:
    panel = served.panel
    panel.set_microphone(AudioChunk(0, 0, np.full(320, 3277, np.int16), 16_000))
    panel.set_state("thinking")
    panel.add_decision("address", "opened", "a touch", 5)
    panel.add_turn(TurnView(1, 6, "tap", "", "thinking", ()))
    panel.add_turn(TurnView(1, 6, "tap", "Paris.", "spoken", (Bar("prefill", -200.0, 30.0),), 210.0))
    panel.set_vitals(heat_c=61.0, shed=("camera",), why="battery at 9 %")
    event = first_event(client)
    assert event["state"] == "thinking"
    assert event["microphone_dbfs"] == -20.0
    assert event["gates"] == [{"t_ns": 5, "gate": "address", "decision": "opened", "why": "a touch"}]
    bars = [{"stage": "prefill", "from_ms": -200.0, "to_ms": 30.0}]
    view = {"id": 1, "t_ns": 6, "cause": "tap", "answer": "Paris.", "outcome": "spoken"}
    assert event["turns"] == [{**view, "bars": bars, "first_sound_ms": 210.0}]
    assert isinstance(event["vitals"], dict)
    assert event["vitals"]["shed"] == ["camera"]


def test_dashboard_camera_picture_is_sent_smaller_and_absent_is_204(served: Served, client: httpx.Client) -> None:
    assert client.get("/camera.jpg").status_code == 204
    served.panel.set_camera(Frame(0, 0, np.full((960, 1280, 3), (200, 40, 40), np.uint8)))
    picture = cv2.imdecode(np.frombuffer(client.get("/camera.jpg").content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (480, 640, 3)
    assert np.abs(picture[100, 100, ::-1].astype(int) - (200, 40, 40)).max() < 10
    assert client.get("/other.jpg").status_code == 404


def test_dashboard_mute_reaches_the_assistant_and_clears_what_was_sensed(served: Served, client: httpx.Client) -> None:
    chunk, frame = AudioChunk(0, 0, np.full(320, 9999, np.int16), 16_000), Frame(0, 0, np.zeros((9, 9, 3), np.uint8))
    served.panel.set_microphone(chunk)
    served.panel.set_camera(frame)
    assert client.post("/mute", json={"muted": True}).json() == {"muted": True}
    assert served.switches.muted == [True]
    served.panel.set_microphone(chunk)  # what was still on its way
    served.panel.set_camera(frame)
    event = first_event(client)
    assert (event["muted"], event["microphone_dbfs"], event["has_camera"]) == (True, SILENT_DBFS, False)
    assert client.get("/camera.jpg").status_code == 204
    client.post("/mute", json={"muted": False})
    assert served.switches.muted == [True, False]
    assert client.post("/wipe").json() == {"wiped": True}
    assert served.switches.wiped == 1


def test_dashboard_mute_that_the_devices_have_not_followed_is_not_said_to_be_done(
    served: Served, client: httpx.Client
) -> None:
    served.switches.follows = False
    assert client.post("/mute", json={"muted": True}).status_code == 503
    assert first_event(client)["muted"] is False


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"muted": 1}', b'{"muted": "no"}', b"\xff"])
def test_dashboard_switch_takes_true_or_false_and_nothing_else(
    served: Served, client: httpx.Client, body: bytes
) -> None:
    assert client.post("/mute", content=body).status_code == 400
    assert served.switches.muted == []


def test_dashboard_switch_of_other_sites_and_long_bodies_is_refused(served: Served, client: httpx.Client) -> None:
    other = {"origin": "http://127.0.0.1:1"}
    assert client.post("/mute", json={"muted": False}, headers=other).status_code == 401
    assert client.post("/wipe", headers={"origin": "null"}).status_code == 401
    assert client.post("/mute", content=b" " * 5000).status_code == 413
    assert (served.switches.muted, served.switches.wiped) == ([], 0)
    assert client.post("/mute", json={"muted": True}, headers={"origin": served.address}).status_code == 200


def test_dashboard_pages_are_limited_and_a_closed_one_makes_room(served: Served, client: httpx.Client) -> None:
    streams = [client.stream("GET", "/events") for _ in range(WATCHERS)]
    lines = [stream.__enter__().iter_lines() for stream in streams]  # held: a dropped iterator closes its stream
    for one in lines:
        next(one)
    with client.stream("GET", "/events") as one_more:
        assert one_more.status_code == 503
    for stream in streams:
        stream.__exit__(None, None, None)
    for _ in range(50):
        with client.stream("GET", "/events") as again:
            if again.status_code == 200:
                return
    pytest.fail("the closed pages still hold their places")


def test_panel_after_many_events_keeps_a_bounded_number() -> None:
    panel = Panel()
    for i in range(1000):
        panel.add_decision("voice", "speech", "loud", i)
        panel.add_turn(TurnView(i, i, "tap", "", "", ()))
    status = panel.snapshot()
    assert (len(status.gates), len(status.turns)) == (GATES_KEPT, TURNS_KEPT)
    assert status.turns[-1].id == 999


def test_dashboard_port_that_is_taken_is_busy() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        with (
            pytest.raises(InputError) as error,
            serving(Panel(), mute=lambda on: True, wipe=lambda: None, port=held.getsockname()[1]),
        ):
            pass
    assert error.value.reason is Reason.BUSY

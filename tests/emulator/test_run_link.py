"""`glasses run --link` as a person uses it, with the real firmware behind a pty and the real models.

The wearer speaks through the glasses' microphone and is answered on their HUD and speaker. The tests unplug the
glasses and plug them in again, mute them, and let their camera fail.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from firmware_bridge.security import key_of
from glasses.__main__ import main
from glasses.audio.sound_files import read_audio
from glasses.commands import link_keys
from glasses.devices import link_thread
from tests.emulator.firmware import PHOTO
from tests.emulator.stand_in import StandIn
from tests.emulator.test_link_command import hud_line
from tests.live.glasses_run import GlassesRun, lines_of

pytestmark = pytest.mark.models
SPEECH = Path(__file__).parents[2] / "models/eval/speech"
TAP, HOLD = 1, 3
SHORT = 1  # of the questions: its answer is
TRIES = 5  # a busy machine lets an answer expire, which is right; it need not happen each time
COLUMNS = 41  # of the HUD of 256 pixels


class Wearer:
    """A person who wears paired glasses."""

    def __init__(self, glasses: StandIn) -> None:
        self.glasses, self.firmware = glasses, glasses.firmware
        self.heard = bytearray()
        glasses.between_steps(lambda: self.firmware.sound(np.zeros(1, np.int16)))
        glasses.between_steps(lambda: self.firmware.listen(self.heard.extend))
        kept = link_keys.path_of(link_keys.folder(), glasses.address)
        link_keys.keep(kept, key_of(str(glasses.code)))

    def ask(self, glasses_run: GlassesRun, index: int, touch: int = TAP) -> dict[str, Any]:
        """Touches the glasses, asks a held-out question until it is answered, and returns the reply."""
        pcm = read_audio(SPEECH / lines_of(SPEECH, "question")[index]["file"])
        spoken = np.concatenate([np.zeros(4800, np.int16), np.round(pcm * 32767).astype(np.int16)])
        for _ in range(TRIES):
            before, replies = len(glasses_run.events), list[dict[str, Any]]()
            self.heard.clear()
            self.glasses.between_steps(lambda: (self.firmware.simulate("touch", touch), self.firmware.sound(spoken)))
            end_s = time.monotonic() + 40
            while time.monotonic() < end_s and not (replies := replies_of(glasses_run, before)):
                time.sleep(0.02)
            if replies and replies[0]["outcome"] == "completed":
                return replies[0]
        raise AssertionError(f"not answered {TRIES} times: {glasses_run.events[-20:]}")

    def reads(self, answer: str) -> None:
        """Waits until the HUD shows the answer."""
        lines = [line[:40] for line in textwrap.wrap(answer, COLUMNS)]
        soon(lambda: [hud_line(self.glasses, 4 + 11 * i) for i in range(len(lines))] == lines, f"{lines} on the HUD")

    def hears(self) -> None:
        """Asserts that the speaker played something else than silence."""
        soon(lambda: np.abs(np.frombuffer(bytes(self.heard), np.int16).astype(int)).max(initial=0) > 300, "a voice")


def replies_of(glasses_run: GlassesRun, after: int) -> list[dict[str, Any]]:
    """The replies since that event."""
    return [event for event in glasses_run.events[after:] if event["what"] == "reply"]


def soon(true: Callable[[], bool], what: str) -> None:
    """Waits until `true` holds."""
    end_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end_s, f"no {what}"
        time.sleep(0.02)


@pytest.fixture
def wearer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wearer]:
    """A wearer whose glasses' key was kept by pairing."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with StandIn("pty") as glasses:
        yield Wearer(glasses)


def test_run_link_cable_pulled_and_back_answers_again(wearer: Wearer) -> None:
    """Asked through the glasses it answers there, and again after the cable was pulled."""
    with GlassesRun(None, "--link", wearer.glasses.address) as glasses_run:
        assert glasses_run.wait_for("ready")["microphone"] == f"host at {wearer.glasses.address}"
        wearer.reads(wearer.ask(glasses_run, SHORT)["answer"])
        wearer.hears()
        before = len(glasses_run.events)
        wearer.glasses.unplug()
        glasses_run.wait_for("devices", after=before, state="disconnected")
        wearer.glasses.plug_in()
        glasses_run.wait_for("devices", after=before, state="reconnected", why="")  # sound; the camera is sooner
        wearer.reads(wearer.ask(glasses_run, SHORT)["answer"])
        wearer.hears()
        assert glasses_run.stop() == 0
    soon(lambda: not wearer.firmware.light, "capture light that is out")
    assert hud_line(wearer.glasses, 4) == ""


@pytest.mark.slow
def test_run_link_long_touch_adds_the_picture_to_the_turn(wearer: Wearer) -> None:
    """A camera that fails costs only the picture."""
    glasses, firmware = wearer.glasses, wearer.firmware
    with GlassesRun(None, "--link", glasses.address) as glasses_run:
        tapped = wearer.ask(glasses_run, SHORT)
        glasses.between_steps(lambda: firmware.show(PHOTO.read_bytes()))
        looked = wearer.ask(glasses_run, SHORT, HOLD)
        assert looked["rows"] > tapped["rows"], "the picture is no part of the turn"
        assert not notes(glasses_run)
        for spoil in (lambda: firmware.show(b"rubbish" * 500), lambda: firmware.simulate("camera_fault", 1)):
            n_notes = len(notes(glasses_run))
            glasses.between_steps(spoil)
            assert wearer.ask(glasses_run, SHORT, HOLD)["answer"]
            assert len(notes(glasses_run)) > n_notes
        assert glasses_run.stop() == 0


@pytest.mark.slow
def test_run_link_mute_switch_mutes(wearer: Wearer) -> None:
    glasses, firmware = wearer.glasses, wearer.firmware
    with GlassesRun(None, "--link", glasses.address) as glasses_run:
        soon(lambda: firmware.light, "capture light: it listens")
        glasses.between_steps(lambda: firmware.simulate("mute", 1))
        glasses_run.wait_for("devices", state="muted")
        soon(lambda: not firmware.light, "capture light that is out")
        glasses.between_steps(lambda: firmware.simulate("touch", TAP))
        time.sleep(2)  # taken, and for nothing
        assert "turn_started" not in [event["what"] for event in glasses_run.events], "a touch while muted"
        glasses.between_steps(lambda: firmware.simulate("mute", 0))
        glasses_run.wait_for("devices", state="unmuted")
        wearer.reads(wearer.ask(glasses_run, SHORT)["answer"])
        assert glasses_run.stop() == 0


def test_run_link_dashboard_shows_the_link_and_its_faults(wearer: Wearer) -> None:
    glasses = wearer.glasses
    with GlassesRun(None, "--link", glasses.address, "--no-voice", "--dashboard", "127.0.0.1:0") as glasses_run:
        texts = [event["text"] for event in glasses_run.events if event["what"] == "note"]
        url = next(text for text in texts if text.startswith("dashboard: ")).removeprefix("dashboard: ")
        with httpx.Client(follow_redirects=True, timeout=30) as client:
            assert client.get(url).status_code == 200

            def shown(part: str) -> bool:
                with client.stream("GET", url.split("/?")[0] + "/events") as events:
                    line = next(line for line in events.iter_lines() if line.startswith("data:"))
                return part in line

            soon(lambda: shown("there and back"), "round trip on the page")
            assert shown('"underruns":0') or shown('"underruns": 0')
            glasses.unplug()
            soon(lambda: shown("gone, trying again"), "lost link on the page")
            glasses.plug_in()
            soon(lambda: shown("there and back"), "link on the page again")
        assert glasses_run.stop() == 0


def notes(glasses_run: GlassesRun) -> list[str]:
    """The notes that there was no picture."""
    return [event["text"] for event in glasses_run.events if event["what"] == "note" and "no picture" in event["text"]]


def test_run_link_bad_address_fails_before_any_model_is_loaded(
    wearer: Wearer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_thread, "CONNECT_S", 2.0)
    assert main(["run", "--link", "nowhere"]) == 2
    assert "no address of a link" in capsys.readouterr().err
    address = wearer.glasses.address
    link_keys.path_of(link_keys.folder(), address).unlink()
    assert main(["run", "--link", address]) == 2
    assert "link pair" in capsys.readouterr().err
    assert main(["run", "--link", "/dev/no-such-port"]) == 2
    assert "no-such-port" in capsys.readouterr().err

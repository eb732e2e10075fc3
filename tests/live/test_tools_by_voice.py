"""Asked by voice through a real PortAudio, tools do what was asked for; a timer rings, a note is recalled."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from glasses.decoders.speech import Voice
from glasses.evaluation.bench.virtual_room import Room
from glasses.runtime.bundle import open_voice
from glasses.types import SAMPLE_RATE_HZ
from tests.live.glasses_run import GlassesRun

pytestmark = [pytest.mark.models, pytest.mark.live]
LEARN_S = 240.0  # for the tools of an app, between two turns, on a machine that also does other things


@pytest.fixture(scope="module")
def voice() -> Iterator[Voice]:
    with open_voice() as opened:
        yield opened


def asked(glasses_run: GlassesRun, room: Room, voice: Voice, words: str) -> dict[str, Any]:
    """The reply to words that are spoken into the room."""
    before = len(glasses_run.events)
    pcm = np.concatenate(list(voice.speak([words])))
    room.play(soxr.resample(pcm, voice.rate_hz, SAMPLE_RATE_HZ).astype(np.float32)).wait(60)
    return glasses_run.wait_for("reply", after=before, outcome="completed")


@pytest.fixture
def own_folders(tmp_path: Path) -> dict[str, str]:
    """Nothing of this machine's user: no timer of theirs rings, none is left to them."""
    return {name: str(tmp_path / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}


def test_run_calls_the_tool_of_an_app_by_voice(room: Room, voice: Voice, own_folders: dict[str, str]) -> None:
    learned = Path(own_folders["XDG_STATE_HOME"]) / "glasses/tools/pocket.npz"
    with (
        GlassesRun(room, "--activation", "speech", env=own_folders) as glasses_run,
        subprocess.Popen([sys.executable, "-m", "glasses.service.examples.tool_app"]) as app,
    ):
        until_s = time.monotonic() + LEARN_S
        while not (learned.exists() and "disk_space" in np.load(learned)["names"]):
            assert time.monotonic() < until_s, "the tools of the app were not learned"
            time.sleep(0.2)
        reply = asked(glasses_run, room, voice, "How much room is left on the disk?")
        assert reply["tool"] == {"name": "disk_space", "arguments": {}}
        assert str(reply["answer"]).endswith(" gigabytes left.")
        app.kill()
        assert glasses_run.stop() == 0


def test_run_does_what_it_is_asked_by_voice(room: Room, voice: Voice, own_folders: dict[str, str]) -> None:
    def ask(words: str) -> dict[str, object]:
        return asked(glasses_run, room, voice, words)

    personas = Path(own_folders["XDG_CONFIG_HOME"]) / "glasses/personas"
    personas.mkdir(parents=True)
    (personas / "max.toml").write_text('greeting = "Max is here."\n')
    with GlassesRun(room, "--activation", "speech", "--persona", "max", env=own_folders) as glasses_run:
        assert glasses_run.wait_for("announced", state="told")["text"] == "Max is here."
        time = ask("What time is it?")
        assert time["tool"] == {"name": "time", "arguments": {}}
        assert str(time["answer"]).startswith("It is ")
        timer = ask("Set a timer for three seconds.")
        assert timer["answer"] == "3 seconds, starting now."
        rang = glasses_run.wait_for("announced", state="told", kind="timer")
        assert rang["text"] == "Your timer is up."
        assert "level three" in str(ask("Remember that my car is on level three.")["answer"])
        assert "level three" in str(ask("Where did I park my car?")["answer"])
        plain = ask("What is the capital of France?")
        assert "tool" not in plain
        assert glasses_run.stop() == 0

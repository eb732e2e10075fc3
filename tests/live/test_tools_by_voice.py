"""Asked by voice through a real PortAudio, tools do what was asked for; a timer rings, a note is recalled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr

from glasses.decoders.speech import Voice
from glasses.evaluation.bench.virtual_room import Room
from glasses.runtime.bundle import open_voice
from glasses.types import SAMPLE_RATE_HZ
from tests.live.glasses_run import GlassesRun

pytestmark = [pytest.mark.models, pytest.mark.live]


@pytest.fixture(scope="module")
def voice() -> Iterator[Voice]:
    with open_voice() as opened:
        yield opened


@pytest.fixture
def own_folders(tmp_path: Path) -> dict[str, str]:
    """Nothing of this machine's user: no timer of theirs rings, none is left to them."""
    return {name: str(tmp_path / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")}


def test_run_does_what_it_is_asked_by_voice(room: Room, voice: Voice, own_folders: dict[str, str]) -> None:
    def ask(words: str) -> dict[str, object]:
        before = len(glasses_run.events)
        pcm = np.concatenate(list(voice.speak([words])))
        room.play(soxr.resample(pcm, voice.rate_hz, SAMPLE_RATE_HZ).astype(np.float32)).wait(60)
        return glasses_run.wait_for("reply", after=before, outcome="completed")

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
        assert "level three" in str(ask("Where is my car?")["answer"])
        plain = ask("What is the capital of France?")
        assert "tool" not in plain
        assert glasses_run.stop() == 0

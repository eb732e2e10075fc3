"""Through a real PortAudio: a timer that is up is heard, a softer voice is softer, a picture is a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from glasses.evaluation.bench.virtual_room import Room
from glasses.tools.schedule import Clock, add_timer
from glasses.tools.store import ToolStore
from glasses.types import SAMPLE_RATE_HZ
from tests.live.glasses_run import GlassesRun
from tests.live.test_talk import LOUD, read_tape

pytestmark = [pytest.mark.models, pytest.mark.live]
PROGRAM = Path(__file__).parent / "worn_controls.py"


def loud_parts(sound: np.ndarray, rate_hz: int, gap_s: float = 0.7) -> list[np.ndarray]:
    """What was said, cut where it was quiet for so long."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > LOUD)
    cuts = np.flatnonzero(np.diff(loud) > gap_s * rate_hz)
    return [sound[part[0] : part[-1] + 1] for part in np.split(loud, cuts + 1) if len(part)]


def test_run_timer_of_another_process_is_spoken_when_it_is_up(room: Room, tmp_path: Path) -> None:
    tape = room.tape(tmp_path / "tape.raw")
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    with GlassesRun(room, env=env) as glasses_run:
        store = ToolStore(tmp_path / "state" / "glasses" / "tools.db")
        add_timer(store, 1, "rice", Clock.read(datetime.now()))
        begun = glasses_run.wait_for("announced", state="begun", kind="timer")
        glasses_run.wait_for("announced", state="told")
        assert store.open_dues() == []
        store.close()
        assert glasses_run.stop() == 0
    tape.terminate()
    tape.wait(10)
    assert begun["text"] == "Your rice timer is up."
    assert np.abs(read_tape(tmp_path / "tape.raw")[:, 1].astype(np.int32)).max() > 10 * LOUD


def test_controls_volume_picture_sound_and_mute_really_act(room: Room, tmp_path: Path) -> None:
    video = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (1280, 720))
    for _ in range(20):
        writer.write(np.full((720, 1280, 3), (0, 0, 200), np.uint8))
    writer.release()
    tape = room.tape(tmp_path / "tape.raw")
    ran = subprocess.run(
        [sys.executable, PROGRAM, tmp_path, video],
        env={**os.environ, **room.env, "PYTHONPATH": str(PROGRAM.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    tape.terminate()
    tape.wait(10)
    said = {line["tool"]: line["said"] for line in map(json.loads, ran.stdout.splitlines())}
    assert said["set_volume"] == "The volume is 40 percent."
    assert (said["take_picture"], said["play_sound"], said["status"]) == ("I took a picture.", "", "All is well.")
    (picture,) = (tmp_path / "pictures").iterdir()
    with Image.open(picture) as opened:
        red, green, blue = np.asarray(opened).reshape(-1, 3).mean(axis=0)
        assert opened.size == (1280, 720)
    assert red > 150
    assert max(green, blue) < 50
    full, soft, dog = loud_parts(read_tape(tmp_path / "tape.raw")[:, 1], SAMPLE_RATE_HZ)
    ratio = np.abs(soft.astype(np.int32)).max() / np.abs(full.astype(np.int32)).max()
    assert 0.15 < ratio < 0.4, "a quarter"
    assert len(dog) > 0.3 * SAMPLE_RATE_HZ

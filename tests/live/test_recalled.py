"""Through a real PortAudio: a dog barks, and the wearer asks later what it was: by voice, by touch, after a wipe."""

from __future__ import annotations

import os
import re
import signal
import time

import numpy as np
import pytest

from glasses.evaluation.bench.virtual_room import Room
from glasses.recording.demo_session import load_session
from glasses.system.process_file import WIPE
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from tests.live.glasses_run import GlassesRun

pytestmark = [pytest.mark.models, pytest.mark.live]
BARKS_MS, QUESTION_MS = (21_500, 26_200), (26_700, 28_300)  # of the shipped minute: a dog, then "What is this sound?"
NAMED = re.compile(r"\bdogs?\b|\bbark(s|ing)?\b")


def cut(span_ms: tuple[int, int]) -> Float32Array:
    first, after = (ms * SAMPLE_RATE_HZ // 1000 for ms in span_ms)
    return load_session().pcm[first:after].astype(np.float32) / np.float32(32768)


def asked(room: Room, glasses_run: GlassesRun, touch: int | None = None) -> str:
    """Asks what the sound is and returns the answer."""
    before = len(glasses_run.events)
    if touch is not None:
        os.kill(glasses_run.pid, touch)
        glasses_run.wait_for("turn_started", after=before)
    room.play(cut(QUESTION_MS)).wait(60)
    return glasses_run.wait_for("reply", after=before, outcome="completed")["answer"].lower()


def test_run_earlier_bark_is_named_until_it_is_wiped(room: Room) -> None:
    with GlassesRun(room) as glasses_run:
        room.play(cut(BARKS_MS)).wait(60)
        time.sleep(6)  # longer than what a touch takes along of the seconds before it
        assert NAMED.search(asked(room, glasses_run, signal.SIGUSR1)), "asked by voice"
        time.sleep(6)
        assert NAMED.search(asked(room, glasses_run, signal.SIGRTMIN + 1)), "asked by touch"
        before = len(glasses_run.events)
        os.kill(glasses_run.pid, WIPE)
        assert glasses_run.wait_for("wiped", after=before)["windows"] > 0
        time.sleep(6)
        assert not NAMED.search(asked(room, glasses_run, signal.SIGRTMIN + 1)), "wiped"
        assert glasses_run.stop() == 0

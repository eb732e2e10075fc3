"""Through a real PortAudio: a spoken question is answered, an interrupted reply stops, and its own voice is ignored."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.__main__ import main
from glasses.audio.sound_files import read_audio
from glasses.evaluation.bench.virtual_room import Room
from glasses.events import TurnEvent
from glasses.replay.session import recorded
from glasses.types import SAMPLE_RATE_HZ
from tests.live.conftest import SPEECH
from tests.live.glasses_run import GlassesRun, lines_of

pytestmark = [pytest.mark.models, pytest.mark.live]
LOUD = 300  # of 32768: anything said


def read_tape(path: Path) -> np.ndarray:
    """int16 (N, 2): room, speaker."""
    data = np.frombuffer(path.read_bytes(), np.int16)
    return data[: len(data) // 2 * 2].reshape(-1, 2)


def say(room: Room, index: int) -> str:
    """Says one held-out question to the end; returns its text."""
    item = lines_of(SPEECH, "question")[index]
    room.play(read_audio(SPEECH / item["file"])).wait(60)
    return item["text"]


def test_run_spoken_question_is_answered_on_the_speaker(room: Room, tmp_path: Path) -> None:
    tape = room.tape(tmp_path / "tape.raw")
    with GlassesRun(room, "--activation", "speech") as glasses_run:
        say(room, 0)
        reply = glasses_run.wait_for("reply", outcome="completed")  # after "continued", where the turn went on
        assert glasses_run.stop() == 0
    tape.terminate()
    tape.wait(10)
    assert reply["outcome"] == "completed"
    assert reply["answer"]
    assert reply["first_audio_ms"] > 0
    sound = np.abs(read_tape(tmp_path / "tape.raw").astype(np.int32))
    asked, answered = (np.flatnonzero(channel > LOUD) for channel in sound.T)
    assert len(answered) > 0.2 * SAMPLE_RATE_HZ * 0.1
    assert answered[0] > asked[-1], "it spoke before the question was over"


def test_run_answers_only_after_a_touch(room: Room) -> None:
    with GlassesRun(room) as glasses_run:
        say(room, 0)
        time.sleep(1.5)
        assert [event["what"] for event in glasses_run.events] == ["ready"]
        os.kill(glasses_run.pid, signal.SIGUSR1)
        glasses_run.wait_for("turn_started")
        say(room, 1)
        assert glasses_run.wait_for("reply")["turn"] == 1
        assert glasses_run.stop() == 0


def talk_over(room: Room, glasses_run: GlassesRun) -> dict[str, Any]:
    """Asks again during the reply to a question; returns the interruption. Retries where the reply was over."""
    for index in range(0, 12, 2):
        before = len(glasses_run.events)
        say(room, index)
        asked = glasses_run.events.index(glasses_run.wait_for("audible", after=before))
        say(room, index + 1)
        reply = glasses_run.wait_for("reply", after=asked)
        if reply["outcome"] in ("interrupted", "continued"):
            return glasses_run.wait_for("interrupted", after=asked)
        glasses_run.wait_for("reply", after=glasses_run.events.index(reply) + 1, outcome="completed")
    raise AssertionError(f"six replies, none was interrupted: {[event['what'] for event in glasses_run.events]}")


def test_run_talked_over_falls_silent_and_replays_the_same(room: Room, tmp_path: Path) -> None:
    tape, recordings = room.tape(tmp_path / "tape.raw"), tmp_path / "recordings"
    with GlassesRun(room, "--activation", "speech", "--record", str(recordings)) as glasses_run:
        cut = talk_over(room, glasses_run)
        ended = glasses_run.wait_for("turn_completed", after=glasses_run.events.index(cut))
        glasses_run.wait_for("reply", after=glasses_run.events.index(ended), outcome="completed")
        glasses_run.stop()
    tape.terminate()
    tape.wait(10)
    sound = np.abs(read_tape(tmp_path / "tape.raw").astype(np.int32)) > LOUD
    spoke, asked = sound[:, 1], np.flatnonzero(sound[:, 0])
    pauses = np.flatnonzero(np.diff(asked) > SAMPLE_RATE_HZ)
    onset, last = asked[pauses[-1] + 1], asked[-1]  # of the question that was put over a reply
    audible_ns = [event["at_ns"] for event in glasses_run.events if event["what"] == "audible"]
    answered_ns = next(t_ns for t_ns in audible_ns if t_ns > cut["at_ns"])
    answered = int(np.flatnonzero(spoke)[0]) + (answered_ns - audible_ns[0]) * SAMPLE_RATE_HZ // 1_000_000_000
    silent = spoke[(onset + last) // 2 : min(last, answered - SAMPLE_RATE_HZ // 10)]
    assert spoke[:onset].any(), "the reply had begun"
    assert len(silent), "it answered before half of the question was said"
    assert not silent.any(), "it went on speaking over the second question"
    assert any(told.event is TurnEvent.INTERRUPTED for told in recorded(recordings).gates)
    # Live the words stand on rows of several drafts: an answer may be another one, what was decided may not.
    alike = ["--fast", "--no-voice", "--tolerance", "wait_ratio=inf", "--tolerance", "answer_words=99"]
    assert main(["replay", str(recordings), *alike]) == 0


def test_run_own_voice_in_the_room_neither_wakes_nor_interrupts_it(echoing_room: Room) -> None:
    with GlassesRun(echoing_room, "--activation", "speech") as glasses_run:
        for index in range(3):
            before = len(glasses_run.events)
            say(echoing_room, index)
            glasses_run.wait_for("reply", after=before, outcome="completed")
        time.sleep(2)
        kinds = [event["what"] for event in glasses_run.events]
        assert glasses_run.stop() == 0
    assert kinds.count("turn_started") == 3
    assert kinds.count("interrupted") == 0
    assert [event["outcome"] for event in glasses_run.events if event["what"] == "reply"] == ["completed"] * 3

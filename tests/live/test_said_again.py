"""Through a real PortAudio, with --keep-replies: a double touch repeats the last reply until it is wiped.

The reply is repeated word for word, and the recording of it replays the same.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from glasses.__main__ import main
from glasses.evaluation.bench.virtual_room import Room
from glasses.recording.entries import Decision
from glasses.replay.session import entries_of
from glasses.system.process_file import WIPE
from tests.live.glasses_run import GlassesRun
from tests.live.test_talk import say

pytestmark = [pytest.mark.models, pytest.mark.live]


def double_touch(glasses_run: GlassesRun) -> dict[str, Any]:
    """Double-touches without speaking and returns the reply."""
    before = len(glasses_run.events)
    os.kill(glasses_run.pid, signal.SIGRTMIN + 1)
    return glasses_run.wait_for("reply", after=before)


def test_run_double_touch_repeats_the_last_reply_until_it_is_wiped(room: Room, tmp_path: Path) -> None:
    with GlassesRun(room, "--keep-replies", "--record", str(tmp_path)) as glasses_run:
        os.kill(glasses_run.pid, signal.SIGUSR1)
        glasses_run.wait_for("turn_started")
        say(room, 0)
        answer = glasses_run.wait_for("reply", outcome="completed")["answer"]
        for _ in range(2):
            again = double_touch(glasses_run)
            assert (again["outcome"], again["answer"]) == ("completed", answer)
        before = len(glasses_run.events)
        os.kill(glasses_run.pid, WIPE)
        glasses_run.wait_for("wiped", after=before)
        time.sleep(1)
        assert double_touch(glasses_run)["answer"] != answer
        assert glasses_run.stop() == 0
    wishes = [entry.memory_intent for entry in entries_of(tmp_path) if isinstance(entry, Decision)]
    assert wishes == ["", "repeat", "repeat", ""]
    alike = ["--fast", "--no-voice", "--tolerance", "wait_ratio=inf", "--tolerance", "answer_words=99"]
    assert main(["replay", str(tmp_path), *alike]) == 0

"""`glasses run` on a read-only root, as under hardware/glasses.service: it hears, answers and records.

It writes only below the two folders that systemd gives it. The test mounts, so it needs root.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glasses.evaluation.bench.virtual_room import Room
from glasses.replay.session import entries_of
from glasses.types import AudioChunk
from tests.live.glasses_run import GlassesRun
from tests.live.test_talk import say

pytestmark = [pytest.mark.models, pytest.mark.live, pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")]
READ_ONLY = """
set -eu
mount --bind "$STATE_DIRECTORY" "$STATE_DIRECTORY"
mount --bind "$RUNTIME_DIRECTORY" "$RUNTIME_DIRECTORY"
mount -o remount,bind,ro /
if touch /root/written 2>/dev/null; then echo "the root is not read-only" >&2; exit 1; fi
exec "$@"
"""


def test_run_on_a_read_only_root_hears_answers_and_records(room: Room, tmp_path: Path) -> None:
    state, runtime = tmp_path / "state", tmp_path / "runtime"
    state.mkdir()
    runtime.mkdir()
    env = {"STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(runtime), "PYTHONDONTWRITEBYTECODE": "1"}
    under = ["unshare", "--mount", "--propagation", "private", "sh", "-c", READ_ONLY, "sh"]
    with GlassesRun(room, "--activation", "speech", "--record", under=under, env=env) as glasses_run:
        say(room, 0)
        assert glasses_run.wait_for("reply", outcome="completed")["answer"]
        assert (runtime / "glasses-run.pid").read_text().split()[0] == str(glasses_run.pid), "glasses wipe finds it"
        assert glasses_run.stop() == 0
    assert sum(isinstance(entry, AudioChunk) for entry in entries_of(state / "recordings")) > 50

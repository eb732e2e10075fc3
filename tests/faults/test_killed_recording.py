"""A recorder that is killed while it writes loses a second at most, and every file opens."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from glasses.recording.folder import recover, segments
from glasses.recording.recorder import Recorder
from glasses.replay.session import entries_of
from glasses.types import AudioChunk


def killed_while_recording(folder: Path, after_s: float) -> tuple[int, int]:
    """Chunks given in and chunks found after `recover`; the child is killed with SIGKILL while it records."""
    given_r, given_w = os.pipe()
    child = os.fork()
    if child == 0:
        recorder, noise = Recorder(folder, {}), np.random.default_rng(0).integers(-9999, 9999, 320).astype(np.int16)
        for i in range(10_000):
            recorder.put(AudioChunk(i * 20_000_000, i, noise, 16_000))
            os.write(given_w, i.to_bytes(4, "big"))
            time.sleep(0.02)
        os._exit(1)
    os.close(given_w)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(given_r, "rb") as pipe:
        n_given = len(pipe.read()) // 4
    recover(folder)
    assert not list(folder.glob("*.part"))
    found = entries_of(folder) if segments(folder) else ()  # killed before the first sync: nothing is there
    return n_given, sum(isinstance(entry, AudioChunk) for entry in found)


@pytest.mark.parametrize("n", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_recorder_killed_loses_a_second_at_most_and_every_file_opens(tmp_path: Path, n: int) -> None:
    for i in range(n):
        folder = tmp_path / str(i)
        n_given, n_found = killed_while_recording(folder, 0.2 + 0.013 * (i % 80))
        assert 0 <= n_given - n_found <= 50  # 20 ms each
        for segment in segments(folder):
            with segment.path.open("rb") as stream:
                summary = make_reader(stream).get_summary()
            assert summary is not None
            assert summary.chunk_indexes

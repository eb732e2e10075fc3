"""`glasses wipe --recordings` beside somebody who records."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from glasses.__main__ import main
from glasses.commands.run_controls import WIPE, findable
from glasses.recording.folder import segments
from glasses.recording.recorder import Recorder
from glasses.replay.session import entries_of
from glasses.types import AudioChunk, Wiped


def test_wipe_deletes_what_is_being_recorded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `glasses run --record` is told by `glasses wipe --recordings`; here both are this process."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    folder = tmp_path / "recordings"
    recorder = Recorder(folder, {})
    before = signal.signal(WIPE, lambda *_: recorder.put(Wiped(2)))
    try:
        with findable():
            recorder.put(AudioChunk(1, 0, np.full(320, 7, np.int16), 16_000))
            while recorder.n_written == 0:
                time.sleep(0.01)
            assert list(folder.glob("*.part")), "it is being written"
            assert main(["wipe", "--recordings", str(folder)]) == 0
        assert not list(folder.glob("*.mcap*"))
        recorder.put(AudioChunk(3, 0, np.full(320, 8, np.int16), 16_000))
    finally:
        signal.signal(WIPE, before)
        recorder.close()
    (later,) = segments(folder)
    assert [entry.t_ns for entry in entries_of(later.path) if isinstance(entry, AudioChunk)] == [3]
    (folder / "00000009-20260101T000000Z.mcap.part").write_bytes(b"what a killed process left")
    assert main(["wipe", "--recordings", str(folder)]) == 0
    assert not list(folder.glob("*.mcap*"))

"""A recorder on a disk that is really full: a tmpfs of a few megabytes. Needs root to mount it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glasses.recording.folder import Limits, recover, segments
from glasses.recording.recorder import Recorder
from glasses.replay.session import entries_of
from glasses.types import AudioChunk

pytestmark = pytest.mark.system
SIZE = 6 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_recorder_disk_full_deletes_the_oldest_segment_and_records_on(disk: Path) -> None:
    rng = np.random.default_rng(0)
    never = Limits(max_bytes=1 << 40, max_age_s=1e12, min_free_bytes=0)  # so that only the full disk itself says stop
    recorder = Recorder(disk, {}, limits=never, segment_s=0.4)
    n = 0
    for n in range(1, 1501):  # 0.5 s of noise in each: 24 MB in all
        recorder.put(AudioChunk(n * 500_000_000, n, rng.integers(-32768, 32767, 8000).astype(np.int16), 16_000))
        time.sleep(0.004)
    recorder.close()
    recover(disk)
    kept = segments(disk)
    found = [entry.t_ns for entry in entries_of(disk) if isinstance(entry, AudioChunk)]
    assert recorder.n_written + recorder.n_lost == n
    assert found == sorted(found)
    assert found[-1] >= (n - 200) * 500_000_000, "the newest is there"
    assert found[0] > 500_000_000, "the oldest went"
    assert int(kept[0].path.name.split("-")[0]) > 1
    assert not list(disk.glob("*.rewrite"))


def test_recorder_disk_full_of_other_files_pauses_and_resumes(disk: Path) -> None:
    """Where no segment may be deleted, it pauses, and records again when there is room."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(SIZE - (1 << 20)))
    recorder = Recorder(disk, {}, limits=Limits(min_free_bytes=0), segment_s=600)
    chunk = np.random.default_rng(0).integers(-32768, 32767, 8000).astype(np.int16)
    n, end_s = 0, time.monotonic() + 120
    while recorder.n_lost == 0 and time.monotonic() < end_s:  # until the disk is full
        n += 1
        recorder.put(AudioChunk(n * 500_000_000, n, chunk, 16_000))
        time.sleep(0.02)
    assert recorder.n_lost > 0
    ballast.unlink()
    written = recorder.n_written
    while recorder.n_written == written and time.monotonic() < end_s:
        n += 1
        recorder.put(AudioChunk(n * 500_000_000, n, chunk, 16_000))
        time.sleep(0.05)
    recorder.close()
    assert recorder.n_written > written
    assert segments(disk)

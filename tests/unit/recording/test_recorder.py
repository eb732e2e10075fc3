"""Recordings are read as they were written; also killed, torn, encrypted, full and old ones."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.exceptions import McapError
from mcap.reader import make_reader

from glasses.errors import InputError, Reason
from glasses.recording.folder import Limits, Segment, segments, to_delete, wipe
from glasses.recording.mcap_file import RawEntry, SegmentWriter
from glasses.recording.recorder import MAX_WAITING, Recorder
from glasses.system.supervised import failed_threads
from glasses.types import NS_PER_MS, AudioChunk, Button, Frame, Latents
from tests.unit.recording.samples import one_of_each, read, record, sound


def test_recorder_entries_are_read_as_they_were_written(tmp_path: Path) -> None:
    given = one_of_each()
    recorder = record(tmp_path, given)
    (segment,) = segments(tmp_path)
    assert (recorder.n_written, recorder.n_lost, recorder.bytes_written) == (len(given), 0, segment.size_bytes)
    chunk, frame, button, latents, *rest = read(segment.path)
    assert isinstance(chunk, AudioChunk)
    assert isinstance(given[0], AudioChunk)
    assert (chunk.t_ns, chunk.rate_hz) == (1, 16_000)
    assert np.array_equal(chunk.pcm, given[0].pcm)
    assert isinstance(frame, Frame)
    assert isinstance(given[1], Frame)
    assert np.abs(frame.rgb.astype(int) - given[1].rgb).max() < 8  # JPEG
    assert isinstance(latents, Latents)
    assert isinstance(given[3], Latents)
    assert (latents.modality, latents.space, latents.duration_ns) == ("audio", "whisper:0123", 20 * NS_PER_MS)
    assert np.abs(latents.data - given[3].data).max() < 2e-3  # float16
    assert [button, *rest] == [given[2], *given[4:]]


def test_recorder_segments_are_read_by_other_programs_as_foxglove(tmp_path: Path) -> None:
    """The indexed reader of the MCAP library finds the messages and their schemas."""
    record(tmp_path, one_of_each())
    with segments(tmp_path)[0].path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    schemas = {channel.topic: summary.schemas.get(channel.schema_id) for channel in summary.channels.values()}
    names = {topic: schema.name if schema else None for topic, schema in schemas.items()}
    assert names["/microphone"] == "foxglove.RawAudio"
    assert names["/camera"] == "foxglove.CompressedImage"
    assert names["/decision"] is None
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(one_of_each())


def test_recorder_segments_are_cut_by_time_and_numbered_on(tmp_path: Path) -> None:
    for _ in range(2):
        recorder = Recorder(tmp_path, {}, segment_s=0.05)
        for chunk in sound(4):
            recorder.put(chunk)
            time.sleep(0.06)
        recorder.close()
    numbers = [int(segment.path.name.split("-")[0]) for segment in segments(tmp_path)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 4
    assert sum(len(read(segment.path)) for segment in segments(tmp_path)) == 8


def test_to_delete_old_and_oldest_go_first() -> None:
    now_s, day_s = 1_900_000_000.0, 86_400.0
    held = [
        Segment(Path("1"), 100, 500.0, False),  # written before the board knew the time: not old
        Segment(Path("2"), 100, now_s - 2 * day_s, True),  # old, but kept
        Segment(Path("3"), 100, now_s - 2 * day_s, False),
        Segment(Path("4"), 100, now_s - 60, False),
        Segment(Path("5"), 100, now_s, False),
    ]

    def gone(limits: Limits, free_bytes: int = 10**12) -> list[str]:
        return [one.path.name for one in to_delete(held, limits, now_unix_s=now_s, free_bytes=free_bytes)]

    assert gone(Limits()) == ["3"]
    assert gone(Limits(max_bytes=300)) == ["1", "3"]
    assert gone(Limits(max_bytes=0)) == ["1", "3", "4", "5"]
    assert gone(Limits(max_age_s=1e12, min_free_bytes=1000), free_bytes=850) == ["1", "3"]


def test_recorder_second_process_in_one_folder_is_busy(tmp_path: Path) -> None:
    first = Recorder(tmp_path, {})
    with pytest.raises(InputError) as error:
        Recorder(tmp_path, {})
    assert error.value.reason is Reason.BUSY
    first.close()
    Recorder(tmp_path, {}).close()


def test_wipe_of_a_folder_leaves_nothing(tmp_path: Path) -> None:
    record(tmp_path, list(sound(5)))
    (tmp_path / "00000001-x.keep").touch()
    assert wipe(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_recorder_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot record"):
        Recorder(tmp_path / "file" / "folder", {})


def test_recorder_picture_that_cannot_be_encoded_loses_that_entry_alone(tmp_path: Path) -> None:
    empty = Frame(3, 0, np.zeros((0, 0, 3), np.uint8))
    recorder = record(tmp_path, [Button(1, "tap"), empty, Button(2, "tap")])
    (segment,) = segments(tmp_path)
    assert [entry.t_ns for entry in read(segment.path)] == [1, 2]
    assert (recorder.n_written, recorder.n_lost) == (2, 1)


def test_recorder_foreign_exception_is_reported_and_recording_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The MCAP writer fails once with an error of its own: what was not flushed is lost, the next segment is whole."""
    copy = SegmentWriter.copy

    def fails_once(writer: SegmentWriter, raw: RawEntry) -> None:
        if raw.t_ns == 2:
            raise McapError("of the library")
        copy(writer, raw)

    monkeypatch.setattr(SegmentWriter, "copy", fails_once)
    recorder = Recorder(tmp_path, {"board": "desktop"})
    for t_ns in (1, 2, 3):
        recorder.put(Button(t_ns, "tap"))
    end_s = time.monotonic() + 30
    while recorder.n_written < 2:
        assert time.monotonic() < end_s, "the thread died"
        time.sleep(0.01)
    (failed,) = failed_threads()
    assert (failed.name, recorder.n_lost) == ("recorder", 1)
    recorder.close()
    assert failed_threads() == []
    assert [entry.t_ns for segment in segments(tmp_path) for entry in read(segment.path)] == [3]


def test_recorder_close_returns_where_the_disk_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, release = threading.Event(), threading.Event()

    def hangs(writer: SegmentWriter, raw: RawEntry) -> None:
        entered.set()
        release.wait()

    monkeypatch.setattr(SegmentWriter, "copy", hangs)
    recorder = Recorder(tmp_path, {}, close_s=0.05)
    recorder.put(Button(0, "tap"))
    assert entered.wait(30)
    for i in range(MAX_WAITING + 1):
        recorder.put(Button(i, "tap"))
    recorder.close()  # must come back; the thread is let go below
    assert recorder.n_lost > 0
    release.set()

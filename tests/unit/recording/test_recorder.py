"""Recordings are read as they were written; also killed, torn, encrypted, full and old ones."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from mcap.exceptions import McapError
from mcap.reader import make_reader

from glasses.errors import InputError, Reason
from glasses.events import Outcome, ReplyState, TurnEvent, TurnSignal
from glasses.recording.encryption import EncryptedReader, EncryptedWriter, read_private_key, read_public_key
from glasses.recording.entries import Answered, Decision, Entry, decode
from glasses.recording.folder import Limits, Segment, opened, segments, to_delete, wipe
from glasses.recording.mcap_file import CutOffError, RawEntry, SegmentWriter, read_entries
from glasses.recording.recorder import MAX_WAITING, Recorder
from glasses.system.supervised import failed_threads
from glasses.types import NS_PER_MS, AudioChunk, Button, DeviceChange, Frame, Latents, OwnVoice, Wiped


def sound(n: int, *, from_ns: int = 0) -> Iterator[AudioChunk]:
    """`n` chunks of 20 ms; the first sample counts them."""
    noise = np.random.default_rng(0).integers(-9999, 9999, 320).astype(np.int16)
    for i in range(n):
        pcm = noise.copy()
        pcm[0] = i
        yield AudioChunk(from_ns + i * 20 * NS_PER_MS, i, pcm, 16_000)


def one_of_each() -> list[Entry]:
    rng = np.random.default_rng(1)
    latents = Latents(5, 20 * NS_PER_MS, "audio", rng.standard_normal((7, 12)).astype(np.float32), "whisper:0123")
    picture = np.full((48, 64, 3), (200, 30, 30), np.uint8)
    decision = Decision(9, 1, "long_press", 2, 8, (3, 7), (("image", 1, 0, 49), ("audio", 5, 20 * NS_PER_MS, 7)))
    quiet = Decision(10, 2, "tap", 9, 10, None, (("text", 0, 0, 4),))
    answered = Answered(11, 1, "Ein rotes Bild, schön.", {"silence": 512.0, "prefill": 80.25})
    asked = Decision(12, 3, "barge_in", 11, 12, (11, 12), (), "sound")
    cut = Answered(13, 3, "A dog", {}, Outcome.INTERRUPTED, 2)
    told = [
        TurnSignal(TurnEvent.TURN_STARTED, 14, 4),
        TurnSignal(TurnEvent.NOT_ADDRESSED, 14, 4),
        TurnSignal(TurnEvent.INTERRUPTED, 15, 4, continues_turn=True),
        ReplyState(16, 4, "audible"),
    ]
    others = [*told, OwnVoice(17, True), DeviceChange(18, "muted", "a key"), Wiped(19)]
    sensed = [next(sound(1, from_ns=1)), Frame(4, 0, picture), Button(5, "long_press")]
    return [*sensed, latents, decision, quiet, answered, asked, cut, *others]


def record(folder: Path, entries: list[Entry], **options: object) -> Recorder:
    recorder = Recorder(folder, {"board": "desktop"}, **options)  # pyright: ignore[reportArgumentType]
    for entry in entries:
        recorder.put(entry)
    recorder.close()
    return recorder


def read(path: Path, key: X25519PrivateKey | None = None) -> list[Entry]:
    with opened(path, key) as stream:
        return [entry for entry in read_entries(stream, path.name) if not isinstance(entry, dict)]


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


@pytest.mark.parametrize(
    ("topic", "table"),
    [
        ("/gate", {"what": "exploded", "t_ns": 1, "turn_id": 1, "merged": False}),
        ("/reply", {"what": "opened", "t_ns": 1, "turn_id": 1}),
        ("/devices", {"state": "lent", "t_ns": 1, "why": ""}),
    ],
)
def test_read_unknown_word_in_an_entry_is_damage(tmp_path: Path, topic: str, table: dict[str, object]) -> None:
    with (tmp_path / "one.mcap").open("wb") as out:
        writer = SegmentWriter(out, {})
        writer.copy(RawEntry(topic, 1, json.dumps(table).encode()))
        writer.finish()
    with pytest.raises(InputError, match="damaged entry"):
        read(tmp_path / "one.mcap")


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


def test_read_truncated_file_gives_what_came_before_and_says_so(tmp_path: Path) -> None:
    record(tmp_path, list(sound(200)))
    whole = segments(tmp_path)[0].path.read_bytes()
    found = []
    for size in [*range(100, len(whole) - 200, len(whole) // 37), *range(len(whole) - 200, len(whole) - 8, 3)]:
        part = tmp_path / "cut.bin"
        part.write_bytes(whole[:size])
        entries: list[Entry] = []
        with part.open("rb") as stream, pytest.raises(CutOffError):
            entries.extend(entry for entry in read_entries(stream, "cut") if not isinstance(entry, dict))
        with part.open("rb") as stream:
            found.append(_count(stream))
    assert found == sorted(found)
    assert found[-1] == 200


def test_read_lying_length_is_damage_and_not_the_end(tmp_path: Path) -> None:
    record(tmp_path, list(sound(100)))
    broken = bytearray(segments(tmp_path)[0].path.read_bytes())
    broken[8 + 1 + 2] ^= 1  # the header's length, 64 KiB more than the file has
    with pytest.raises(InputError, match="damaged: a record reaches past the end") as error:
        list(read_entries(io.BytesIO(broken), "broken"))
    assert not isinstance(error.value, CutOffError)


def _count(stream: object) -> int:
    n = 0
    try:
        for entry in read_entries(stream, "cut"):  # pyright: ignore[reportArgumentType]
            n += not isinstance(entry, dict)
    except InputError:
        return n
    return n


def test_read_flipped_bits_are_errors_and_never_other_sound(tmp_path: Path) -> None:
    record(tmp_path, list(sound(100)))
    whole = segments(tmp_path)[0].path.read_bytes()
    true = [chunk.pcm for chunk in sound(100)]
    rng = np.random.default_rng(2)
    reasons = []
    for _ in range(150):
        broken = bytearray(whole)
        broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
        found: list[Entry] = []
        try:
            found.extend(e for e in read_entries(io.BytesIO(broken), "broken") if not isinstance(e, dict))
        except InputError as error:
            reasons.append(error.reason)
        for i, entry in enumerate(entry for entry in found if isinstance(entry, AudioChunk)):
            assert np.array_equal(entry.pcm, true[i])
    assert len(reasons) > 50
    assert set(reasons) == {Reason.CORRUPT}


def test_read_chunk_that_claims_gigabytes_is_refused_before_unpacking(tmp_path: Path) -> None:
    with (tmp_path / "bomb.mcap").open("wb") as out:
        writer = SegmentWriter(out, {})
        writer.write(Answered(0, 1, "a" * (64 << 20), {}))
        writer.finish()
    with pytest.raises(InputError, match="claims"):
        read(tmp_path / "bomb.mcap")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public one, as the module's documentation says to make them."""
    private, public = tmp_path / "owner.pem", tmp_path / "owner.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "x25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


def test_read_encrypted_recording_opens_only_with_the_owners_key(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    folder, given = tmp_path / "sealed", list(sound(300))
    record(folder, [*given], public_key=read_public_key(keys[1]))
    (segment,) = segments(folder)
    assert segment.path.name.endswith(".mcap.sealed")
    assert given[0].pcm[1:100].tobytes() not in segment.path.read_bytes()
    own = read_private_key(keys[0])
    assert len(read(segment.path, own)) == 300
    with pytest.raises(InputError, match="--key"):
        read(segment.path)
    with pytest.raises(InputError) as error:
        read(segment.path, X25519PrivateKey.generate())
    assert error.value.reason is Reason.REFUSED
    with pytest.raises(InputError, match="no public key"):
        read_public_key(keys[0])
    whole = segment.path.read_bytes()
    segment.path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="cut off"):
        read(segment.path, own)


def test_encrypted_reader_changed_cut_or_reordered_file_is_refused() -> None:
    own, plain = X25519PrivateKey.generate(), os.urandom(3 * 1000)
    out = io.BytesIO()
    writer = EncryptedWriter(out, own.public_key())
    ends = [out.tell()]
    for i in range(3):
        writer.write(plain[1000 * i : 1000 * (i + 1)])
        writer.flush()
        ends.append(out.tell())
    writer.finish()
    whole = out.getvalue()
    head, first, second, rest = whole[: ends[0]], whole[ends[0] : ends[1]], whole[ends[1] : ends[2]], whole[ends[2] :]

    def opened_again(data: bytes) -> tuple[bytes, bool]:
        reader = EncryptedReader(io.BytesIO(data), own, "sealed")
        return reader.readall(), reader.is_truncated

    assert opened_again(whole) == (plain, False)
    assert opened_again(head + first + second) == (plain[:2000], True)
    assert opened_again((head + first + second)[:-1]) == (plain[:1000], True)
    for changed in (head + second + first + rest, head + second + rest, head + first + rest, whole[:-1] + b"x"):
        with pytest.raises(InputError, match="was changed"):
            opened_again(changed)
    with pytest.raises(InputError, match="claims"):
        opened_again(head + b"\xff\xff\xff\xff")


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


@pytest.mark.parametrize(
    ("topic", "table", "entry"),
    [
        ("/touch", {"t_ns": 1, "press": "hold"}, Button(1, "long_press")),
        ("/touch", {"t_ns": 1, "press": "double"}, Button(1, "double_tap")),
        ("/gate", {"what": "opened", "t_ns": 1, "turn_id": 2, "merged": False}, (TurnEvent.TURN_STARTED, False)),
        ("/gate", {"what": "resumed", "t_ns": 1, "turn_id": 2, "merged": False}, (TurnEvent.SPEECH_RESUMED, False)),
        ("/gate", {"what": "pause", "t_ns": 1, "turn_id": 2, "merged": False}, (TurnEvent.BARGE_IN_PENDING, False)),
        ("/gate", {"what": "unpause", "t_ns": 1, "turn_id": 2, "merged": False}, (TurnEvent.BARGE_IN_REJECTED, False)),
        ("/gate", {"what": "interrupt", "t_ns": 1, "turn_id": 2, "merged": True}, (TurnEvent.INTERRUPTED, True)),
        ("/gate", {"what": "expire", "t_ns": 1, "turn_id": 2, "merged": False}, (TurnEvent.TIMED_OUT, False)),
        ("/gate", {"what": "pass", "t_ns": 1, "turn_id": 2, "merged": False}, (TurnEvent.NOT_ADDRESSED, False)),
        ("/reply", {"what": "audible", "t_ns": 1, "turn_id": 2}, ReplyState(1, 2, "audible")),
        ("/reply", {"what": "over", "t_ns": 1, "turn_id": 2}, ReplyState(1, 2, "finished")),
        ("/devices", {"t_ns": 1, "state": "gone", "why": "x"}, DeviceChange(1, "disconnected", "x")),
        ("/devices", {"t_ns": 1, "state": "back", "why": ""}, DeviceChange(1, "reconnected")),
        (
            "/answer",
            {"t_ns": 1, "turn_id": 2, "text": "A", "wait_ms": {}, "outcome": "merged", "n_heard": 3},
            Answered(1, 2, "A", {}, Outcome.CONTINUED, 3),
        ),
        ("/answer", {"t_ns": 1, "turn_id": 2, "text": "A", "wait_ms": {}}, Answered(1, 2, "A", {}, Outcome.COMPLETED)),
        (
            "/decision",
            {
                "t_ns": 1,
                "turn_id": 2,
                "cause": "barge-in",
                "touched_ns": 3,
                "end_ns": 4,
                "spoken_ns": [3, 4],
                "parts": [["audio", 3, 1, 5]],
                "wish": "again",
            },
            Decision(1, 2, "barge_in", 3, 4, (3, 4), (("audio", 3, 1, 5),), "repeat"),
        ),
    ],
)
def test_decode_words_of_older_recordings_are_read(topic: str, table: dict[str, object], entry: object) -> None:
    found = decode(topic, json.dumps(table).encode())
    assert ((found.event, found.continues_turn) if isinstance(found, TurnSignal) else found) == entry

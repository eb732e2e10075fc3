"""Recordings that are cut off, damaged or of an older version."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from glasses.errors import InputError, Reason
from glasses.events import Outcome, ReplyState, TurnEvent, TurnSignal
from glasses.recording.entries import Answered, Decision, Entry, decode
from glasses.recording.folder import segments
from glasses.recording.mcap_file import CutOffError, RawEntry, SegmentWriter, read_entries
from glasses.types import AudioChunk, Button, DeviceChange
from tests.unit.recording.samples import read, record, sound


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


def test_read_file_with_a_hole_gives_what_is_before_and_behind_and_says_what_is_missing(tmp_path: Path) -> None:
    record(tmp_path, list(sound(600)))
    whole = segments(tmp_path)[0].path.read_bytes()
    true = [entry.t_ns for entry in read(segments(tmp_path)[0].path)]
    for at in range(64 << 10, len(whole) - (160 << 10), 4096 * 7):
        holed = whole[:at] + bytes(8192) + whole[at + 8192 :]
        told: list[str] = []
        entries = read_entries(io.BytesIO(holed), "holed", tell=lambda form, *words: told.append(form % words))  # noqa: B023
        found = [entry for entry in entries if isinstance(entry, AudioChunk)]
        assert [int(one.pcm[0]) for one in found] == sorted({one.t_ns // 20_000_000 for one in found})
        assert len(true) // 2 < len(found) < len(true)
        assert (found[0].t_ns, found[-1].t_ns) == (true[0], true[-1])
        assert "s are missing, a part of the file is empty" in told[0]
        assert len(told) == 1


def test_read_file_that_ends_in_zeros_is_cut_off(tmp_path: Path) -> None:
    record(tmp_path, list(sound(300)))
    whole = segments(tmp_path)[0].path.read_bytes()
    for at in range(100_000, len(whole), 41_000):
        found: list[Entry] = []
        with pytest.raises(CutOffError):
            found.extend(
                entry
                for entry in read_entries(io.BytesIO(whole[:at] + bytes(100_000)), "zeros")
                if isinstance(entry, AudioChunk)
            )
        assert len(found) > 100


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

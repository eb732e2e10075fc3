"""The shipped session and its loader. No models."""

from __future__ import annotations

import itertools
import shutil
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from glasses.errors import InputError, Reason
from glasses.recording.demo_session import SHIPPED, events, load_session, paced
from glasses.types import AudioChunk, Frame


def test_shipped_session_is_what_the_help_says() -> None:
    session = load_session()
    assert 50_000 <= session.length_ms <= 70_000
    assert [s.addressed for s in session.said].count(False) == 1
    assert sum(press == "long_press" for _, press in session.touches) == 1
    stream = list(events(session))
    assert [event.t_ns for event in stream] == sorted(event.t_ns for event in stream)
    sound = np.concatenate([event.pcm for event in stream if isinstance(event, AudioChunk)])
    assert np.array_equal(sound, session.pcm)
    frames = [event for event in stream if isinstance(event, Frame)]
    assert len(frames) == len(session.frames)
    assert all(max(frame.rgb.shape) <= 427 and not frame.rgb.flags.writeable for frame in frames)


def test_demo_session_clips_all_name_source_and_licence() -> None:
    table = tomllib.loads((SHIPPED / "session.toml").read_text())
    assert {source["what"].split("/")[0] for source in table["sources"]} == {"pictures", "sounds", "speech"}
    assert all(source["from"] and source["licence"] for source in table["sources"])


def test_paced_events_wait_for_their_last_sample() -> None:
    start_ns = time.monotonic_ns()
    for event in itertools.islice(paced(events(load_session(), start_ns=start_ns)), 10):
        assert time.monotonic_ns() >= event.t_ns + (20_000_000 if isinstance(event, AudioChunk) else 0)


def test_load_session_without_a_session_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_session(tmp_path)
    assert caught.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[[touches]]", "[[touches", Reason.CORRUPT),
        ("title =", "name =", Reason.CORRUPT),
        ('press = "tap"', 'press = "slap"', Reason.BAD_INPUT),
        ('audio = "audio.ogg"', 'audio = "frames/000.jpg"', Reason.BAD_INPUT),
    ],
)
def test_load_session_broken_file_is_refused(tmp_path: Path, old: str, new: str, reason: Reason) -> None:
    shutil.copytree(SHIPPED, tmp_path / "session")
    path = tmp_path / "session" / "session.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_session(tmp_path / "session")
    assert caught.value.reason is reason

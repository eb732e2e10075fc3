"""What runs beside the spine, as `glasses run` builds it."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from glasses.assistant.fault_injection import INJECTED
from glasses.commands import run_services
from glasses.commands.run_controls import Running
from glasses.commands.run_services import RunServices, add_options
from glasses.errors import InputError
from glasses.recording.folder import segments
from glasses.replay.session import entries_of
from glasses.system.governor import Reading
from glasses.types import AudioChunk, DeviceChange

CHUNK = AudioChunk(5, 0, np.full(320, 3277, np.int16), 16_000)


def parsed(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.set_defaults(bundle="pocket", address="touch", no_memory=False, remember=30.0, transcript=False)
    add_options(parser)
    return parser.parse_args(given)


def test_nothing_is_kept_or_served_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    said: list[str] = []
    with ExitStack() as stack:
        RunServices(parsed(), stack, mute=lambda on: None, say=said.append).saw(CHUNK)
    assert said == []
    assert not list(tmp_path.iterdir())


def test_what_is_seen_is_recorded_and_shown_and_the_page_mutes(tmp_path: Path) -> None:
    said: list[str] = []
    muted: list[bool] = []
    with ExitStack() as stack:
        options = parsed("--record", str(tmp_path), "--dashboard", "127.0.0.1:0", "--board", "pi5")
        beside = RunServices(options, stack, mute=muted.append, say=said.append)
        beside.saw(CHUNK)
        assert beside.panel is not None
        assert beside.panel.snapshot().microphone_dbfs == -20.0
        url = said[0].removeprefix("dashboard: ")
        with httpx.Client(follow_redirects=True) as client:
            assert client.get(url).status_code == 200
            client.post(url.split("/?")[0] + "/mute", json={"muted": True})
        assert muted == [True]
        beside.saw(DeviceChange(6, "unmuted"))
        assert not beside.panel.snapshot().muted
    (segment,) = segments(tmp_path)
    (kept,) = [entry for entry in entries_of(segment.path) if isinstance(entry, AudioChunk)]
    assert np.array_equal(kept.pcm, CHUNK.pcm)


def test_recordings_are_kept_as_long_as_the_wearer_says(tmp_path: Path) -> None:
    old, young = tmp_path / "00000001-20260101T000000Z.mcap", tmp_path / "00000002-20260101T000100Z.mcap"
    for path, hours in ((old, 3), (young, 1)):
        path.write_bytes(b"x")
        written_s = time.time() - 3600 * hours
        os.utime(path, (written_s, written_s))
    with ExitStack() as stack:
        options = parsed("--record", str(tmp_path), "--record-hours", "2")
        RunServices(options, stack, mute=lambda on: None, say=lambda text: None).saw(CHUNK)
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        *(("--dashboard", "everywhere"), ("--board", "pi99"), ("--record", "/proc/no")),
        *(("--record", "--record-hours", "0"), ("--record", "--record-mb", "nan")),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(wrong: tuple[str, str]) -> None:
    with ExitStack() as stack, pytest.raises(InputError):
        RunServices(parsed(*wrong), stack, mute=lambda on: None)


def test_the_page_says_how_the_spine_is_and_what_the_governor_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_services, "GOVERN_S", 0.02)
    with ExitStack() as stack:
        options = parsed("--record", str(tmp_path), "--dashboard", "127.0.0.1:0")
        beside = RunServices(options, stack, mute=lambda on: None, say=lambda text: None)
        beside.vitals = lambda: {"link": "ours at /dev/ttyACM0: 7 ms there and back", "counts": {"underruns": 3}}
        beside.read = lambda t_ns: Reading(t_ns, heat_c=77.0)
        assert beside.panel is not None
        end_s = time.monotonic() + 30
        while not (seen := beside.panel.snapshot().vitals).shed or "underruns" not in seen.counts:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        assert seen.link == "ours at /dev/ttyACM0: 7 ms there and back"
        assert seen.counts == {"underruns": 3, "recording_lost": 0}
        assert seen.shed == ("camera", "remote")
        gates = beside.panel.snapshot().gates
    assert [(gate.gate, gate.decision, gate.why) for gate in gates] == [
        ("governor", "shed: camera, remote", "77.0 deg C")
    ]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("too-hot", "shed: camera, remote, backbone (200.0 deg C)"),
        ("battery-low", "shed: camera, remote (battery at 8.0 %)"),
        ("memory-short", "shed: camera (60.0 MB free)"),
    ],
)
def test_what_is_injected_into_the_board_is_shed_and_said(
    monkeypatch: pytest.MonkeyPatch, fault: str, says: str
) -> None:
    monkeypatch.setattr(run_services, "GOVERN_S", 0.02)
    said: list[str] = []
    with ExitStack() as stack:
        beside = RunServices(parsed(), stack, mute=lambda on: None, say=said.append)
        live: Any = None  # the board's faults touch no device
        INJECTED[fault](Running(live, beside, lambda: None, said.append))
        end_s = time.monotonic() + 30
        while says not in said:
            assert time.monotonic() < end_s, said
            time.sleep(0.02)
        assert not beside.allows("camera")

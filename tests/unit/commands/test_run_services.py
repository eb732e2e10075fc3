"""The services that `glasses run` starts beside the pipeline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from glasses.assistant.config import AssistantConfig, DashboardConfig, RecordingConfig
from glasses.assistant.device_supervisor import Counts
from glasses.assistant.fault_injection import INJECTED, FaultHooks
from glasses.assistant.observers import Observers
from glasses.commands.run_services import RunServices
from glasses.decoders import hud
from glasses.devices.local import LocalDevices
from glasses.errors import InputError
from glasses.events import ReplyText
from glasses.recording.folder import segments
from glasses.replay.session import entries_of
from glasses.system.board import load_board
from glasses.system.governor import Reading
from glasses.types import AudioChunk, DeviceChange

CHUNK = AudioChunk(5, 0, np.full(320, 3277, np.int16), 16_000)
PAGE = DashboardConfig(enabled=True, listen="127.0.0.1:0")
PATIENCE_S = 30.0


class Assistant:
    """What the page asks of an assistant."""

    def __init__(self) -> None:
        self.muted: list[bool] = []
        self.wipe = lambda: None
        self.devices = SimpleNamespace(microphone=None, speaker=None, counts=Counts(underruns=3))
        self.memory = SimpleNamespace(n_lost=0, usage=lambda: (60.0, 1.5))
        self.past_turns = 2
        self.observers = SimpleNamespace(n_dropped={"screen": 7})

    def mute(self, muted: bool, *, wait_s: float) -> bool:
        assert wait_s > 0
        self.muted.append(muted)
        return True


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def used(config: AssistantConfig, *events: object, **options: Any) -> list[str]:
    """Runs the services of this configuration, gives them events, and returns what they noted."""
    noted: list[str] = []
    assistant: Any = Assistant()
    with ExitStack() as stack:
        services = RunServices(config, stack, **options)
        observers = stack.enter_context(Observers(services.observers))
        stack.enter_context(services.running(assistant, LocalDevices(), noted.append))
        for event in events:
            observers.publish(event)
    return noted


def test_run_services_without_configuration_keep_and_serve_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert used(AssistantConfig(), CHUNK) == []
    assert not list(tmp_path.iterdir())


def test_run_services_record_and_show_events_and_the_page_mutes(tmp_path: Path) -> None:
    noted: list[str] = []
    assistant: Any = Assistant()
    config = AssistantConfig(board="pi5", dashboard=PAGE, recording=RecordingConfig(enabled=True, folder=tmp_path))
    with ExitStack() as stack:
        services = RunServices(config, stack)
        observers = stack.enter_context(Observers(services.observers))
        stack.enter_context(services.running(assistant, LocalDevices(), noted.append))
        panel = services.panel
        assert panel is not None
        observers.publish(CHUNK)
        until(lambda: panel.snapshot().microphone_dbfs == -20.0)
        url = noted[0].removeprefix("dashboard: ")
        with httpx.Client(follow_redirects=True) as client:
            assert client.get(url).status_code == 200
            client.post(url.split("/?")[0] + "/mute", json={"muted": True})
        assert assistant.muted == [True]
        observers.publish(DeviceChange(6, "unmuted"))
        until(lambda: not panel.snapshot().muted)
    (segment,) = segments(tmp_path)
    (kept,) = [entry for entry in entries_of(segment.path) if isinstance(entry, AudioChunk)]
    assert np.array_equal(kept.pcm, CHUNK.pcm)


def test_run_services_delete_recordings_older_than_configured(tmp_path: Path) -> None:
    old, young = tmp_path / "00000001-20260101T000000Z.mcap", tmp_path / "00000002-20260101T000100Z.mcap"
    for path, hours in ((old, 3), (young, 1)):
        path.write_bytes(b"x")
        written_s = time.time() - 3600 * hours
        os.utime(path, (written_s, written_s))
    used(AssistantConfig(recording=RecordingConfig(enabled=True, folder=tmp_path, max_hours=2)), CHUNK)
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"board": "pi99"}, {"recording": RecordingConfig(enabled=True, folder=Path("/proc/no"))}],
)
def test_run_services_impossible_ones_are_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    with ExitStack() as stack, pytest.raises(InputError):
        RunServices(replace(AssistantConfig(), **wrong), stack)


def test_run_services_page_shows_the_assistant_and_the_governor(tmp_path: Path) -> None:
    assistant: Any = Assistant()
    config = AssistantConfig(dashboard=PAGE, recording=RecordingConfig(enabled=True, folder=tmp_path))
    with ExitStack() as stack:
        services = RunServices(config, stack, read_board=lambda t_ns: Reading(t_ns, heat_c=77.0), interval_s=0.02)
        panel = services.panel
        assert panel is not None
        stack.enter_context(services.running(assistant, LocalDevices(), lambda sentence: None))
        until(lambda: bool(panel.snapshot().vitals.counts and panel.snapshot().vitals.shed))
        vitals = panel.snapshot().vitals
        assert {name: n for name, n in vitals.counts.items() if n} == {"underruns": 3, "screen_missed": 7}
        assert "recording_lost" in vitals.counts
        assert (vitals.remembered_s, vitals.remembered_mb, vitals.past_turns) == (60.0, 1.5, 2)
        assert vitals.shed == ("camera", "remote")
        gates = panel.snapshot().gates
    assert [(gate.gate, gate.decision, gate.why) for gate in gates] == [
        ("governor", "shed: camera, remote", "77.0 deg C")
    ]


def test_run_services_governor_whose_board_cannot_be_read_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Thermal protection must not end without a sign, whatever reading the board raises."""
    readings = iter([BrokenPipeError("no such sensor"), Reading(0, heat_c=200.0)])

    def read_board(t_ns: int) -> Reading:
        reading = next(readings, Reading(0, heat_c=200.0))
        if isinstance(reading, Exception):
            raise reading
        return replace(reading, t_ns=t_ns)

    assistant: Any = Assistant()
    with ExitStack() as stack:
        services = RunServices(AssistantConfig(), stack, read_board=read_board, interval_s=0.02)
        stack.enter_context(services.running(assistant, LocalDevices(), lambda sentence: None))
        until(lambda: not services.governor.is_allowed("backbone"))
    assert "thread governor failed: BrokenPipeError('no such sensor')" in [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("too-hot", "shed: camera, remote, backbone (200.0 deg C)"),
        ("battery-low", "shed: camera, remote (battery at 8.0 %)"),
        ("memory-short", "shed: camera (60.0 MB free)"),
    ],
)
def test_run_services_injected_board_is_shed_and_noted(fault: str, says: str) -> None:
    noted: list[str] = []
    assistant: Any = Assistant()
    hooks = FaultHooks(lambda stage: None, Reading)
    with ExitStack() as stack:
        services = RunServices(AssistantConfig(), stack, read_board=hooks.read_board, interval_s=0.02)
        stack.enter_context(services.running(assistant, LocalDevices(), noted.append))
        INJECTED[fault](assistant, hooks)
        until(lambda: says in noted)
        assert not services.governor.is_allowed("camera")


def test_run_services_page_pictures_the_newest_lines_as_glasses_show_them() -> None:
    """Of a reply that fills more than one page, which `render` would spread evenly."""
    board, text = load_board("even-g1"), "The glasses show the end of a long reply while it is written. " * 6
    display = board.require_display()
    with ExitStack() as stack:
        services = RunServices(AssistantConfig(board="even-g1", dashboard=PAGE), stack)
        assert services.panel is not None
        panel, observers = services.panel, stack.enter_context(Observers(services.hud(None)))
        observers.publish(ReplyText(1, text))
        until(lambda: panel.pictures()["hud"] is not None)
        shown = panel.pictures()["hud"]
    assert shown is not None
    assert np.array_equal(shown, hud.render("\n".join(hud.newest(text, display)), display)[0].rgb())
    assert not np.array_equal(shown, hud.render(text, display)[-1].rgb())

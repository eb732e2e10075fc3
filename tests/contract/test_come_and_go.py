"""What the assistant reports of devices that were closed on purpose and of devices that are away, and how often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.device_supervisor import DeviceSupervisor
from glasses.assistant.observers import FunctionObserver
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.errors import Reason, SensorError
from glasses.events import TurnEvent, TurnSignal
from glasses.runtime.bundle import open_bundle
from glasses.types import SAMPLE_RATE_HZ, Button, DeviceChange

pytestmark = pytest.mark.models
PATIENCE_S = 30.0


class Microphone:
    """A silent microphone that can be pulled."""

    device = SoundDevice(0, "fake", SAMPLE_RATE_HZ)
    overruns = 0
    gone = False

    def close(self) -> None: ...


class Desk:
    """Devices with one microphone that can be pulled. `n_asked`: how often it was opened."""

    muted = sees = False

    def __init__(self) -> None:
        self.there, self.n_asked, self.n_rescans = True, 0, 0
        self.open: Microphone | None = None

    def microphone(self, queue: EventQueue) -> Microphone:
        self.n_asked += 1
        if not self.there:
            raise SensorError(Reason.NOT_FOUND, "there is no microphone")
        self.open = Microphone()
        return self.open

    def rescan(self) -> None:
        self.n_rescans += 1

    def pull(self) -> None:
        assert self.open
        self.there, self.open.gone = False, True


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_device_supervisor_unmuted_between_two_looks_reports_no_fault() -> None:
    """Another thread may unmute after `follow_mute` compared and before `follow` looks."""
    desk: Any = Desk()
    states: list[str] = []
    supervisor = DeviceSupervisor(
        desk,
        EventQueue(),
        voice_rate_hz=None,
        publish=lambda change: states.append(change.state),
        is_allowed=lambda load: True,
        muted=False,
    )
    try:
        supervisor.mute(True)
        supervisor.follow_mute()
        supervisor.mute(False)
        assert not supervisor.follow()
        supervisor.follow_mute()
        assert states == ["muted", "unmuted"]
    finally:
        supervisor.close()


def test_assistant_touch_of_devices_made_before_it_starts_a_turn() -> None:
    loaded, devices, events, states = open_bundle(n_threads=1), Desk(), EventQueue(), list[TurnEvent]()

    def watch(signal: TurnSignal) -> None:
        states.append(signal.event)
        assistant.stop()

    observers = [FunctionObserver(watch, TurnSignal)]
    assistant = Assistant(NO_MEMORY, loaded, None, cast(Any, devices), events=events, observers=observers)
    end = threading.Timer(PATIENCE_S, assistant.stop)
    end.start()
    assistant.run(lambda: events.put(Button(time.monotonic_ns(), "tap")))
    end.cancel()
    loaded.close()
    assert states == [TurnEvent.TURN_STARTED]


def test_assistant_microphone_away_is_reported_once_and_mute_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    loaded, desk, states = open_bundle(n_threads=1), Desk(), list[str]()

    def watch(what: Any) -> None:
        if isinstance(what, DeviceChange):
            states.append(what.state)

    try:
        devices: Any = desk
        config = replace(NO_MEMORY, activation="speech")
        assistant = Assistant(config, loaded, None, devices, observers=[FunctionObserver(watch, DeviceChange)])
        wearing = threading.Thread(target=assistant.run)
        wearing.start()
        try:
            assistant.mute(True)
            until(lambda: states == ["muted"])
            assistant.mute(False)
            until(lambda: "unmuted" in states)
            time.sleep(1.0)  # longer than it takes to look after the devices
            assert (states, desk.n_asked, desk.n_rescans, assistant.devices.counts.reopened) == (
                ["muted", "unmuted"],
                2,
                0,
                0,
            )
            with caplog.at_level(logging.WARNING):
                desk.pull()
                until(lambda: desk.n_asked >= 5)
                told = [
                    record.message for record in caplog.records if record.name == "glasses.assistant.device_supervisor"
                ]
                assert told == ["there is no microphone"]
            desk.there = True
            until(lambda: assistant.devices.counts.reopened == 1)
            assistant.mute(True)
            until(lambda: states[-1] == "muted")
            desk.there = False  # pulled while it was closed: opening it again fails, and that is a fault
            assistant.mute(False)
            until(lambda: states[-1] == "disconnected")
            desk.there = True
            until(lambda: states[-1] == "reconnected")
        finally:
            assistant.stop()
            wearing.join(PATIENCE_S)
        assert states == [
            "muted",
            "unmuted",
            "disconnected",
            "reconnected",
            "muted",
            "unmuted",
            "disconnected",
            "reconnected",
        ]
    finally:
        loaded.close()

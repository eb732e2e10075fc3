"""What is sensed while muted goes nowhere, and "muted" is reported once nothing senses any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from glasses.assistant.device_supervisor import CAMERA_STALLS, MUTE_S, DeviceSupervisor
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.errors import Reason, SensorError
from glasses.types import SAMPLE_RATE_HZ, DeviceChange, Frame


class Device:
    """A microphone, or a camera whose `close` waits for `may_close`."""

    device, is_seeing = SoundDevice(0, "fake", SAMPLE_RATE_HZ), True
    overruns, underruns, gone, gain = 0, 0, False, 1.0

    def __init__(self) -> None:
        self.may_close, self.closed = threading.Event(), False
        self.may_close.set()

    def close(self) -> None:
        assert self.may_close.wait(30)
        self.closed = True


class Devices:
    """One microphone, one camera and one speaker; with `has_speaker` False none can be opened."""

    muted, sees = False, True

    def __init__(self) -> None:
        self.microphones, self.cameras, self.speakers = list[Device](), list[Device](), list[Device]()
        self.has_speaker = True

    def microphone(self, queue: EventQueue) -> Device:
        self.microphones.append(Device())
        return self.microphones[-1]

    def speaker(self, rate_hz: int) -> Device:
        if not self.has_speaker:
            raise SensorError(Reason.NOT_FOUND, "there is no speaker")
        self.speakers.append(Device())
        return self.speakers[-1]

    def rescan(self) -> None: ...

    def camera(self, queue: EventQueue) -> Device:
        self.cameras.append(Device())
        return self.cameras[-1]


class Muted:
    """A supervisor as the listening thread uses it, and what it reports."""

    def __init__(self, voice_rate_hz: int | None = None) -> None:
        self.devices, self.changes = Devices(), list[DeviceChange]()
        devices: Any = self.devices
        self.supervisor = DeviceSupervisor(
            devices,
            EventQueue(),
            voice_rate_hz=voice_rate_hz,
            publish=self.changes.append,
            is_allowed=lambda load: True,
            muted=False,
        )

    def until(self, true: Callable[[], object]) -> None:
        end_s = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end_s
            self.supervisor.follow_mute()
            time.sleep(0.005)


@pytest.fixture
def muted() -> Iterator[Muted]:
    made = Muted()
    yield made
    for camera in made.devices.cameras:
        camera.may_close.set()
    made.supervisor.close()


def picture() -> Frame:
    return Frame(time.monotonic_ns(), 0, np.zeros((4, 4, 3), np.uint8))


def test_device_supervisor_muted_reports_once_the_camera_is_closed(muted: Muted) -> None:
    (camera,), (microphone,) = muted.devices.cameras, muted.devices.microphones
    camera.may_close.clear()
    muted.supervisor.mute(True)
    muted.supervisor.follow_mute()
    assert microphone.closed
    assert (muted.changes, muted.supervisor.is_muting) == ([], True)
    camera.may_close.set()
    muted.until(lambda: muted.changes)
    assert [(one.state, one.why) for one in muted.changes] == [("muted", "")]
    assert camera.closed
    assert not muted.supervisor.is_muting


def test_device_supervisor_camera_that_stalls_is_reported_with_muted(muted: Muted) -> None:
    muted.devices.cameras[0].may_close.clear()
    began_s = time.monotonic()
    muted.supervisor.mute(True)
    muted.until(lambda: muted.changes)
    assert time.monotonic() - began_s >= MUTE_S
    assert [(one.state, one.why) for one in muted.changes] == [("muted", CAMERA_STALLS)]
    assert not muted.supervisor.may_take(picture())


def test_device_supervisor_unmuted_before_muted_was_reported_reports_both(muted: Muted) -> None:
    muted.devices.cameras[0].may_close.clear()
    muted.supervisor.mute(True)
    assert not muted.supervisor.follow_mute()
    muted.supervisor.mute(False)
    assert muted.supervisor.follow_mute(), "what was held before is forgotten"
    assert [one.state for one in muted.changes] == ["muted", "unmuted"]


def test_device_supervisor_picture_taken_while_muted_is_not_taken_after_unmuting(muted: Muted) -> None:
    """The camera may deliver one more while it is closed, and the queue holds it until the listener comes to it."""
    before = picture()
    assert muted.supervisor.may_take(before)
    muted.supervisor.mute(True)
    assert not muted.supervisor.may_take(before), "at once, from any thread"
    muted.until(lambda: muted.changes)
    late = picture()
    muted.supervisor.mute(False)
    muted.until(lambda: len(muted.changes) == 2)
    assert not muted.supervisor.may_take(late)
    assert not muted.supervisor.may_take(before)
    assert muted.supervisor.may_take(picture())


def test_device_supervisor_muted_tells_of_a_speaker_that_is_gone_and_not_of_one_that_was_late() -> None:
    worn = Muted(16_000)
    worn.supervisor.mute(True)
    worn.until(lambda: worn.changes)
    worn.devices.speakers[0].gone = True  # as on a machine that is too busy to call it
    assert worn.supervisor.follow()
    assert (len(worn.devices.speakers), worn.supervisor.counts.reopened) == (2, 1)
    worn.devices.speakers[1].gone, worn.devices.has_speaker = True, False
    end_s = time.monotonic() + 30
    while not worn.supervisor.follow():
        assert time.monotonic() < end_s
        time.sleep(0.05)
    assert [one.state for one in worn.changes] == ["muted", "disconnected"]
    worn.supervisor.close()

"""A ribbon-cable camera of a Raspberry Pi, with a stand-in for picamera2; it shows how we use the library."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from glasses.devices import picamera
from glasses.devices.camera import Camera
from glasses.devices.event_queue import EventQueue
from glasses.errors import Reason, SensorError
from glasses.types import Frame


class Picamera2:
    """The calls that glasses/devices/picamera.py makes; signatures and errors as in picamera2 0.3.38."""

    opened: ClassVar[list[Picamera2]] = []
    fails: ClassVar[str] = ""

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [
            {"Model": "imx708", "Id": "/base/axi/pcie@1000120000/rp1/i2c@88000/imx708@1a", "Num": 0},
            {"Model": "UVC", "Id": "/base/axi/pcie@1000120000/rp1/usb@200000-1", "Num": 1},
        ]

    def __init__(self, camera_num: int = 0) -> None:
        if camera_num >= len(self.global_camera_info()):
            raise IndexError("list index out of range")
        self.running, self.closed, self.configured = False, False, {}
        self.opened.append(self)

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configured = configuration

    def start(self) -> None:
        if self.fails == "start":
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.running = True

    def capture_array(self, name: str, wait: float) -> np.ndarray:
        assert self.running
        assert name == "main"
        assert wait > 0
        if self.fails == "read":
            raise TimeoutError
        width, height = self.configured["main"]["size"]
        picture = np.zeros((height, width, 3), np.uint8)
        picture[..., 2] = 200  # red, last in memory
        return picture

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pi(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    """This machine as a Pi with one camera on a ribbon cable and one on USB."""
    monkeypatch.setattr(Picamera2, "opened", [])
    monkeypatch.setattr(Picamera2, "fails", "")
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Picamera2))
    return Picamera2


def first_frame(queue: EventQueue) -> Frame:
    until_s = time.monotonic() + 20
    for event in queue.events(0.1):
        if isinstance(event, Frame):
            return event
        assert time.monotonic() < until_s
    raise AssertionError("the queue ended")


def test_picamera_pictures_have_the_colour_order_of_the_encoders(pi: type[Picamera2]) -> None:
    queue = EventQueue()
    with Camera(queue, "csi") as camera:
        frame = first_frame(queue)
        assert frame.rgb.shape == (480, 640, 3)
        assert frame.rgb[0, 0].tolist() == [200, 0, 0]
        assert not camera.gone
    assert all(one.closed for one in pi.opened)


def test_picamera_lists_only_cameras_on_a_ribbon_cable(pi: type[Picamera2]) -> None:
    assert picamera.cameras() == [{"path": "csi:0", "name": "imx708"}]


def test_picamera_that_is_absent_or_does_not_start_says_so(pi: type[Picamera2]) -> None:
    with pytest.raises(SensorError) as refused:
        Camera(EventQueue(), "csi:7")
    assert refused.value.reason is Reason.NOT_FOUND
    pi.fails = "start"
    with pytest.raises(SensorError, match="does not start"):
        Camera(EventQueue(), "csi:0")
    assert pi.opened[-1].closed


def test_picamera_that_falls_silent_is_gone_and_freed(pi: type[Picamera2]) -> None:
    queue = EventQueue()
    with Camera(queue, "csi", fps=50) as camera:
        first_frame(queue)
        pi.fails = "read"
        until_s = time.monotonic() + 30
        while not camera.gone:
            assert time.monotonic() < until_s
            time.sleep(0.02)
        assert [one.closed for one in pi.opened] == [True]


def test_picamera_without_the_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    assert picamera.cameras() == []
    with pytest.raises(SensorError, match="python3-picamera2") as refused:
        Camera(EventQueue(), "csi")
    assert refused.value.reason is Reason.NOT_INSTALLED


def test_picamera_other_source_name_is_not_taken_for_one() -> None:
    with pytest.raises(SensorError) as refused:
        Camera(EventQueue(), "/nowhere/csi.mp4")
    assert refused.value.reason is Reason.NOT_FOUND

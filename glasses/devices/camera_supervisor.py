"""The camera as the live spine keeps it: open while it is wanted, tried again while it is away, each change told.

Knows no gate and no model.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from glasses.devices.event_queue import EventQueue
from glasses.devices.local import DeviceFactory, VideoInput
from glasses.errors import SensorError
from glasses.types import DeviceChange

RETRY_S = 0.5


class CameraSupervisor:
    """`follow` it again and again, from one thread; `watch` gets a DeviceChange when it goes and when it is back."""

    def __init__(self, devices: DeviceFactory, queue: EventQueue, watch: Callable[[DeviceChange], None]) -> None:
        self._devices, self._queue, self._watch = devices, queue, watch
        self._retry_ns = 0
        self._gone = False
        self.camera: VideoInput | None = None

    def open(self) -> None:
        """Opens the camera, where there is to be one. Raises SensorError as `DeviceFactory.camera` does."""
        if self._devices.sees:
            self.camera = self._devices.camera(self._queue)

    def follow(self, wanted: bool) -> None:
        """Shuts what is not wanted, opens what is, and tells whether it is there."""
        if not wanted:
            self.shut()
        elif self.camera is not None:
            self._tell(self.camera.gone, "the camera gives no picture any more")
        elif time.monotonic_ns() >= self._retry_ns:
            self._retry_ns = time.monotonic_ns() + round(RETRY_S * 1e9)
            try:
                self.open()
            except SensorError as error:
                self._tell(True, f"the camera does not open: {error}")

    def look(self) -> None:
        """A picture is wanted now, of a camera that has to be asked."""
        if self.camera is not None:
            self.camera.look()

    def shut(self) -> None:
        """Closes it; safe to call twice."""
        if self.camera is not None:
            self.camera.close()
            self.camera = None

    def _tell(self, gone: bool, why: str) -> None:
        if gone != self._gone:
            self._gone = gone
            now_ns = time.monotonic_ns()
            self._watch(
                DeviceChange(now_ns, "gone", why) if gone else DeviceChange(now_ns, "back", "the camera is back")
            )

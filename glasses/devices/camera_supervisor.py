"""Keeps the camera open while it is wanted, opens it again after it was gone, and reports both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from glasses.devices.event_queue import EventQueue
from glasses.devices.local import DeviceFactory, Photographs, VideoInput
from glasses.errors import SensorError
from glasses.system.supervised import SupervisedThread
from glasses.types import DeviceChange, UInt8Array

RETRY_S = 1.0  # between two tries to open a camera
CHECK_S = 0.2  # between two looks at whether it is gone
CLOSE_S = 2.0  # the process ends without a camera that stalls for longer
_NO_PICTURE = "the camera gives no picture any more"


class CameraSupervisor:
    """Opens and closes the camera on a thread of its own: a camera that stalls never holds up the caller.

    `follow` is called again and again from one thread. It returns at once, and in it `on_change` gets a DeviceChange
    when the camera disappears and when it is back. A camera that is no longer wanted is told to stop within
    milliseconds; one that is just being opened, as soon as it is open.
    """

    def __init__(
        self,
        devices: DeviceFactory,
        queue: EventQueue,
        on_change: Callable[[DeviceChange], None],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._devices, self._queue, self._on_change, self._retry_s = devices, queue, on_change, retry_s
        self._camera: VideoInput | None = None  # written by the thread, once that runs
        self._lock = threading.Lock()  # of the two that follow: what is not wanted is not opened any more
        self._wanted = self._in_use = False
        self._wake, self._closing = threading.Event(), threading.Event()
        self._problem: str | None = None  # of a wanted camera: "" where it gives pictures, None where not known yet
        self._reported_gone = False
        self._thread = SupervisedThread(self._run, "camera supervisor", policy="restart")

    def start(self, wanted: bool) -> None:
        """Opens the camera in the caller's thread, if it is wanted and there is to be one; supervises it from now on.

        Raises SensorError as `DeviceFactory.camera` does.
        """
        if self._devices.sees:
            self._wanted = wanted
            if wanted:
                self._camera, self._in_use = self._devices.camera(self._queue), True
            self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether no camera is open, nor is being opened or closed."""
        with self._lock:
            return not self._in_use

    @property
    def is_seeing(self) -> bool:
        """Whether a camera is open that gives pictures."""
        return self._camera is not None and self._camera.is_seeing

    def follow(self, wanted: bool) -> None:
        """Says whether the camera is wanted from now on, and reports what has become of it."""
        if wanted != self._wanted:
            with self._lock:
                self._wanted = wanted
            self._wake.set()
        problem = self._problem
        if wanted and problem is not None and bool(problem) != self._reported_gone:
            self._reported_gone = bool(problem)
            now_ns = time.monotonic_ns()
            self._on_change(
                DeviceChange(now_ns, "disconnected", problem)
                if problem
                else DeviceChange(now_ns, "reconnected", "the camera is back")
            )

    def look(self) -> None:
        """Asks for a picture now, of a camera that takes one only when asked."""
        if (camera := self._camera) is not None:
            camera.look()

    def photograph(self, give: Callable[[UInt8Array], None]) -> bool:
        """Has `give` called once with the next picture in full size, from another thread; False: no camera is open."""
        camera = self._camera
        if camera is None or not isinstance(camera, Photographs):
            return False
        camera.photograph(give)
        return True

    def close(self) -> None:
        """Closes the camera and ends the thread; waits up to CLOSE_S for a camera that stalls. Safe to call twice."""
        self._closing.set()
        self._wake.set()
        self._thread.close(CLOSE_S)

    def _run(self) -> None:
        retry_at_s = 0.0
        try:
            while not self._closing.is_set():
                self._wake.clear()
                if not self._may_use():
                    self._problem = None
                    self._close_camera()
                elif self._camera is None:
                    if time.monotonic() >= retry_at_s and not self._open_camera():
                        retry_at_s = time.monotonic() + self._retry_s
                elif self._camera.gone:
                    self._problem = _NO_PICTURE
                    self._close_camera()
                    retry_at_s = time.monotonic() + self._retry_s
                elif self._camera.is_seeing:
                    self._problem = ""
                elif self._problem == "":
                    self._problem = _NO_PICTURE
                self._wake.wait(CHECK_S)
        finally:  # also where this raises: the thread's supervisor begins it anew
            self._close_camera()

    def _may_use(self) -> bool:
        """Whether a camera is wanted; it is in use then, until `_close_camera` after one is no longer wanted."""
        with self._lock:
            self._in_use = self._in_use or self._wanted
            return self._wanted

    def _open_camera(self) -> bool:
        try:
            self._camera = self._devices.camera(self._queue)
        except SensorError as error:
            self._problem = f"the camera does not open: {error}"
            return False
        return True

    def _close_camera(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
        with self._lock:
            self._in_use = self._wanted

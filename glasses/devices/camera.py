"""A camera through OpenCV or, on a Raspberry Pi, picamera2 (picamera.py).

`source` is a device number, a device path, `csi` or `csi:1` for a Pi's ribbon cable, or a video file. A file is played
at its own rate and begins again at its end, as a camera would go on.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from glasses.devices.event_queue import EventQueue
from glasses.devices.look import Look
from glasses.devices.picamera import CsiCapture
from glasses.errors import Reason, SensorError
from glasses.system.supervised import SupervisedThread
from glasses.types import Frame, UInt8Array, frozen

log = logging.getLogger(__name__)
FPS = 2.0  # a turn is given one picture, and views are remembered every two seconds
CLOSE_S = 5.0  # `close` waits so long for a read; OpenCV's V4L2 reads wait up to 10 s for a camera that stalls
_LONG_SIDE = 640  # pixels; the encoder takes 224
_LOOK_LONG_SIDE = 1280  # of the picture that a look takes: text in view is read in it
_MAX_FAILED_READS = 10  # in a row: the camera is gone
_RETRY_READ_S = 0.05
_FILE_FPS = 1.0, 120.0  # rates that a video file's header is believed; files of varying rate say anything
_DEFAULT_FILE_FPS = 25.0
if "OPENCV_LOG_LEVEL" not in os.environ:  # its warnings of a camera that is away, at every attempt to open it
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
_CSI = re.compile(r"csi(?::([0-9]{1,2}))?")


class Camera:
    """Open and delivering Frames until `close`, or until it is `gone`.

    Only the camera's own thread reads and releases the capture, so a read that stalls delays nobody else and is never
    released under its feet.
    """

    def __init__(self, queue: EventQueue, source: str | int, *, fps: float = FPS) -> None:
        """Raises SensorError: NOT_FOUND for a camera that does not open, NOT_INSTALLED for "csi" without picamera2."""
        self._queue, self._source, self._fps = queue, source, fps
        self._capture: Any = open_capture(source)
        self._is_file = isinstance(source, str) and Path(source).is_file()
        self._next_read_s = 0.0  # when the file's next picture is due
        self._closed = threading.Event()
        self._put_lock = threading.Lock()  # no Frame is put once `close` has begun
        self._seq = 0
        self._give: Callable[[UInt8Array], None] | None = None  # the picture of the next look, in full size
        self._look = Look()
        self._thread = SupervisedThread(self._run, "camera").start()

    @property
    def gone(self) -> bool:
        """Whether it gives no pictures any more, whatever ended it; a new Camera has to be opened then."""
        return self._closed.is_set() or not self._thread.alive

    @property
    def is_seeing(self) -> bool:
        """Whether it has read a picture since it was opened."""
        return self._seq > 0

    def look(self) -> None:
        """The next Frame is the best of the next half second, and larger than others."""
        self._look.begin()

    def photograph(self, give: Callable[[UInt8Array], None]) -> None:
        """Has `give` called with the best picture of the next half second, uint8 (H, W, 3) in full size."""
        self._give = give
        self._look.begin()

    def close(self) -> None:
        """Stops the pictures at once and waits up to CLOSE_S for the device to be freed. Safe to call twice."""
        with self._put_lock:
            self._closed.set()
        if not self._thread.close(CLOSE_S):
            log.warning("the camera %r does not stop reading; it is freed when it does", self._source)

    def _run(self) -> None:
        try:
            self._read_until_gone()
        finally:
            if self._capture is not None:
                self._capture.release()

    def _read_until_gone(self) -> None:
        n_failed = 0
        may_be_over = False  # the file has given a picture since it was opened: a failed read is its end
        due_s = time.monotonic()
        while not self._closed.is_set() and n_failed < _MAX_FAILED_READS:
            if self._is_file:
                self._wait_for_next()
            # Every picture is grabbed: the driver's own queue would otherwise hand out pictures that are seconds old.
            # Only those that are delivered are retrieved, which is where a camera's JPEG is decoded.
            before_ns, due = time.monotonic_ns(), time.monotonic() >= due_s or self._look.is_due
            capture, picture = self._capture, None
            ok = capture is not None and capture.grab()
            after_ns = time.monotonic_ns()
            if capture is not None and ok and due:
                ok, picture = capture.retrieve()
            if not ok:
                n_failed += 1
                if self._is_file and may_be_over:
                    self._rewind()
                may_be_over = False
                self._closed.wait(_RETRY_READ_S)
                continue
            n_failed, may_be_over = 0, True
            if picture is not None and self._look.is_due:
                self._look.take(picture, (before_ns + after_ns) // 2)
                if chosen := self._look.chosen():
                    due_s = time.monotonic() + 1 / self._fps
                    self._deliver_look(*chosen)
            elif picture is not None:
                due_s = time.monotonic() + 1 / self._fps
                self._deliver(picture, (before_ns + after_ns) // 2)

    def _deliver_look(self, bgr: UInt8Array, t_ns: int) -> None:
        if not self._closed.is_set() and (give := self._give):
            self._give = None
            give(frozen(np.ascontiguousarray(bgr[..., ::-1])))
        self._deliver(bgr, t_ns, _LOOK_LONG_SIDE)

    def _deliver(self, bgr: UInt8Array, t_ns: int, long_side: int = _LONG_SIDE) -> None:
        frame = Frame(t_ns, self._seq, frozen(np.ascontiguousarray(shrunk(bgr, long_side)[..., ::-1])))
        with self._put_lock:
            if not self._closed.is_set():
                self._queue.put(frame)
                self._seq += 1

    def _wait_for_next(self) -> None:
        """Waits until the file's next picture is due; pictures missed, as by a machine that slept, are not made up."""
        said = float(self._capture.get(cv2.CAP_PROP_FPS)) if self._capture is not None else 0.0
        fps = said if _FILE_FPS[0] <= said <= _FILE_FPS[1] else _DEFAULT_FILE_FPS
        now_s = time.monotonic()
        self._next_read_s = max(self._next_read_s + 1 / fps, now_s)
        self._closed.wait(self._next_read_s - now_s)

    def _rewind(self) -> None:
        """Opens the file again at its end. Where it is no longer there, reads fail from now on."""
        self._capture.release()
        self._capture = None
        with suppress(SensorError):
            self._capture = open_capture(self._source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_capture(source: str | int) -> Any:
    """A capture with OpenCV's `grab`, `retrieve` and `release`. Raises SensorError: NOT_FOUND, NOT_INSTALLED."""
    if match := _CSI.fullmatch(str(source)):
        return CsiCapture(int(match[1] or 0))
    capture = cv2.VideoCapture(source)
    if capture.isOpened():
        return capture
    capture.release()
    raise SensorError(Reason.NOT_FOUND, f"no camera at {source!r}; list them with: glasses devices")


def shrunk(picture: UInt8Array, long_side: int = _LONG_SIDE) -> UInt8Array:
    """uint8 (H, W, 3), made smaller where a side is longer than `long_side`: by default, what encoders need."""
    scale = long_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

"""A camera through OpenCV or, on a Pi, picamera2: at most one picture waits, the newest. Knows no model.

`source` is a device number, a device path, `csi` or `csi:1` (a Pi's ribbon cable, sensors/csi.py), or a video file.
A file is shown at its own rate and begins again at its end, as a camera goes on: a film that stopped would be a camera
that is gone.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np

from glasses.devices.event_queue import EventQueue
from glasses.devices.picamera import CsiCapture
from glasses.errors import Reason, SensorError
from glasses.types import Frame, UInt8Array, frozen

FPS = 2.0  # what is seen around a touch; a picture model takes one picture a turn
_LONG_SIDE = 640  # the encoder takes 224
_FAILS = 10  # reads in a row without a picture: the camera is gone
_RATES = 1.0, 120.0  # pictures a second that a film's header is believed,
_RATE = 25.0  # and what is taken where it says something else, as files of varying rate do
_CSI = re.compile(r"csi(?::([0-9]{1,2}))?")


class Camera:
    """Opened and looking until `close`. A camera that vanishes is tried again each second; `gone` says so meanwhile."""

    def __init__(self, queue: EventQueue, source: str | int, *, fps: float = FPS) -> None:
        """Raises SensorError: NOT_FOUND for a camera that does not open, NOT_INSTALLED for "csi" without picamera2."""
        self._queue, self._source, self._fps = queue, source, fps
        self._capture: Any = _opened(source)
        self._is_film = isinstance(source, str) and Path(source).is_file()
        self._next_s = 0.0  # when the film's next picture is due
        self.gone = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, name="camera", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        seq = fails = 0
        fresh = True  # opened, and no picture read since
        due_s = time.monotonic()
        while not self._closed.is_set():
            if self._is_film:
                self._wait_for_next()
            before_ns = time.monotonic_ns()
            # Always grabbed: a driver's own queue would otherwise hand out pictures that are seconds old. Only what is
            # shown is retrieved: that is where a camera's JPEG is decoded.
            capture, due = self._capture, time.monotonic() >= due_s
            came, picture = capture is not None and capture.grab(), None
            after_ns = time.monotonic_ns()
            if capture is not None and came and due:
                came, picture = capture.retrieve()
            if not came:
                fails += 1
                if self._is_film and not fresh:
                    self._begin_again()
                elif fails >= _FAILS:
                    self._reopen()
                    fails = 0
                fresh = True
                self._closed.wait(0.05)
                continue
            fails, fresh, self.gone = 0, False, False
            if picture is not None:
                due_s = time.monotonic() + 1 / self._fps
                rgb = np.ascontiguousarray(small(picture)[..., ::-1])
                self._queue.put(Frame((before_ns + after_ns) // 2, seq, frozen(rgb)))
                seq += 1

    def _wait_for_next(self) -> None:
        """Until the film's next picture is due; what was missed, as by a machine that slept, is not caught up on."""
        told = float(self._capture.get(cv2.CAP_PROP_FPS)) if self._capture is not None else 0.0
        rate = told if _RATES[0] <= told <= _RATES[1] else _RATE
        now_s = time.monotonic()
        self._next_s = max(self._next_s + 1 / rate, now_s)
        self._closed.wait(self._next_s - now_s)

    def _begin_again(self) -> None:
        """At the end of a film; where the file is no longer there, reading fails from now on, and it is gone."""
        self._capture.release()
        self._capture = None
        with suppress(SensorError):
            self._capture = _opened(self._source)

    def _reopen(self) -> None:
        self.gone = True
        if self._capture is not None:
            self._capture.release()
        self._closed.wait(1.0)
        self._capture = None
        if not self._closed.is_set():
            with suppress(SensorError):  # `gone` says so; tried again
                self._capture = _opened(self._source)

    def look(self) -> None:
        """A picture is wanted now; this camera gives them all the time."""

    def close(self) -> None:
        """Stops looking and frees the device. Safe to call twice."""
        self._closed.set()
        self._thread.join(5)
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(source: str | int) -> Any:
    if match := _CSI.fullmatch(str(source)):
        return CsiCapture(int(match[1] or 0))
    capture = cv2.VideoCapture(source)
    if capture.isOpened():
        return capture
    capture.release()
    raise SensorError(Reason.NOT_FOUND, f"no camera at {source!r}; list them with: glasses devices")


def small(picture: UInt8Array) -> UInt8Array:
    """uint8 (H, W, 3), made smaller where a side is longer than a picture model needs."""
    scale = _LONG_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

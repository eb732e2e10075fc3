"""A Raspberry Pi's ribbon-cable camera through picamera2, with the interface of an OpenCV capture.

picamera2 comes with the system (Debian's python3-picamera2), never from PyPI: it has to fit the system's libcamera. A
virtual environment sees it where it was made with --system-site-packages, as hardware/install.sh does on a Pi.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import numpy as np

from glasses.errors import Reason, SensorError

log = logging.getLogger(__name__)
SIZE = (640, 480)  # the encoder takes 224; all sensors of the Pi offer it over their whole field of view
_FRAME_US = 100_000  # ten pictures a second: exposure still follows the light, and little is copied for nothing
_READ_S = 2.0  # a camera that gives nothing for so long is gone


def cameras() -> list[dict[str, Any]]:
    """[{"path": "csi:0", "name": sensor}] of what libcamera sees; empty where picamera2 is not installed."""
    try:
        found = _picamera2().Picamera2.global_camera_info()
    except SensorError:
        return []
    # USB cameras are listed there too; V4L2 opens those.
    return [{"path": f"csi:{one['Num']}", "name": one["Model"]} for one in found if "/usb" not in one["Id"]]


class CsiCapture:
    """Opened and running until `release`; `grab` and `retrieve` are OpenCV's."""

    def __init__(self, number: int = 0) -> None:
        """Raises SensorError: NOT_INSTALLED, NOT_FOUND."""
        try:
            self._camera = _picamera2().Picamera2(number)
        except (RuntimeError, IndexError) as error:
            raise SensorError(
                Reason.NOT_FOUND, f"no camera csi:{number}: {error}; try `rpicam-hello --list`"
            ) from error
        try:
            # libcamera names formats by the order in a word: its RGB888 is B, G, R in memory, as OpenCV's pictures are.
            picture = {"size": SIZE, "format": "RGB888"}
            limits = {"FrameDurationLimits": (_FRAME_US, _FRAME_US)}
            self._camera.configure(self._camera.create_video_configuration(main=picture, controls=limits))
            self._camera.start()
        except RuntimeError as error:
            self._camera.close()
            raise SensorError(Reason.NOT_FOUND, f"the camera csi:{number} does not start: {error}") from error

    def grab(self) -> bool:
        """Whether a picture came."""
        try:
            self._picture = self._camera.capture_array("main", wait=_READ_S)
        except (TimeoutError, RuntimeError) as error:
            log.warning("the ribbon-cable camera gives no picture: %s", error or "timed out")
            return False
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """True and what was grabbed last, uint8 (H, W, 3) in the order B, G, R."""
        return True, self._picture

    def release(self) -> None:
        """Stops and frees the camera."""
        try:
            self._camera.close()
        except RuntimeError as error:  # it is gone already
            log.warning("the ribbon-cable camera does not close: %s", error)


def _picamera2() -> Any:
    try:
        return import_module("picamera2")
    except ImportError as error:
        raise SensorError(
            Reason.NOT_INSTALLED,
            f"a ribbon-cable camera needs Debian's python3-picamera2 and a virtual environment that sees it ({error})",
        ) from error

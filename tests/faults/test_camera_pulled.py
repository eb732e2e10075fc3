"""A camera that is pulled and comes back, again and again, through OpenCV itself; a film stands where a device is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil

from glasses.sensors.camera import Camera
from glasses.sensors.chunks import EventQueue
from glasses.types import Frame

PULLS = int(os.environ.get("GLASSES_TEST_PULLS", "3"))
BACK_S = 5.0  # of facts/always_on.md


def film(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for grey in range(100):
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    return path


def soon(true: Callable[[], bool], what: str, within_s: float = 30.0) -> float:
    """Seconds until it is so."""
    began_s = time.monotonic()
    while not true():
        assert time.monotonic() - began_s < within_s, f"no {what} within {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - began_s


def test_a_camera_that_is_pulled_sees_again_soon_and_leaks_nothing(tmp_path: Path) -> None:
    queue, there, away = EventQueue(), film(tmp_path / "film.avi"), tmp_path / "away.avi"
    back_s, held = list[float](), list[tuple[int, int]]()
    process = psutil.Process()
    with Camera(queue, str(there), fps=50) as camera:
        soon(lambda: isinstance(queue.get(0), Frame), "picture")
        for _ in range(PULLS):
            there.rename(away)
            soon(lambda: camera.gone, "camera that says it is gone")
            while queue.get(0) is not None:  # what it saw before
                pass
            time.sleep(1.2)  # at least one try in vain
            assert queue.get(0) is None, "it sees with nothing there"
            away.rename(there)
            back_s.append(soon(lambda: isinstance(queue.get(0), Frame), "picture after it is back", BACK_S))
            held.append((process.num_fds(), process.num_threads()))
    print(f"{PULLS} pulls: it sees again after {max(back_s):.1f} s at most")
    assert held[-1] <= held[0], f"descriptors, threads: {held}"

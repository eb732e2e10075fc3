"""A film in the place of a camera: it plays at its own rate, again and again."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from glasses.devices.camera import Camera, open_capture
from glasses.devices.event_queue import EventQueue
from glasses.errors import SensorError
from glasses.types import Frame

N = 10
LOOK_S = 2.5


def film(path: Path, rate: float) -> Path:
    """N pictures, each brighter than the one before."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (64, 48))
    for n in range(N):
        writer.write(np.full((48, 64, 3), 20 * n, np.uint8))
    writer.release()
    return path


def shown(path: Path) -> tuple[list[int], float]:
    """Which pictures came within LOOK_S, and the seconds from the first to the last."""
    queue, frames = EventQueue(), list[Frame]()
    with Camera(queue, str(path), fps=10_000) as camera:
        until_s = time.monotonic() + LOOK_S
        while time.monotonic() < until_s:
            assert not camera.gone
            if isinstance(frame := queue.get(0.05), Frame):
                frames.append(frame)
    return [round(float(f.rgb.mean()) / 20) for f in frames], (frames[-1].t_ns - frames[0].t_ns) / 1e9


@pytest.mark.parametrize(("rate", "taken_as"), [(20.0, 20.0), (1000.0, 25.0)])
def test_film_camera_plays_at_its_own_rate_again_and_again(tmp_path: Path, rate: float, taken_as: float) -> None:
    """A header that claims a thousand frames a second is ignored: files of varying rate have such headers."""
    pictures, took_s = shown(film(tmp_path / "film.avi", rate))
    assert pictures[: 2 * N] == [*range(N), *range(N)], "all of it, in order, and then from its beginning"
    assert len(pictures) - 1 <= took_s * taken_as * 1.05 + 1, "quicker than it was taken"


def test_open_capture_absent_camera_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SensorError, match="no camera at 97; list them with: glasses devices"):
        open_capture(97)
    assert capfd.readouterr().err == ""

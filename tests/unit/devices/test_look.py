"""A look takes the picture in which most can be made out, and keeps no other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from glasses.devices.camera import Camera
from glasses.devices.event_queue import EventQueue
from glasses.devices.look import Look
from glasses.types import Frame, UInt8Array

SHARP = np.random.default_rng(0).integers(0, 2, (30, 40, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8) * 200
BLURRED = np.asarray(cv2.GaussianBlur(SHARP, (0, 0), 8), np.uint8)
DARK = (SHARP // 25).astype(np.uint8)
WAIT_S = 30.0  # far more than it takes


def chosen(look: Look, *pictures: UInt8Array) -> int | None:
    """The number of the picture that a look takes, from 0."""
    for number, picture in enumerate(pictures):
        look.take(picture, number)
    best = look.chosen()
    return None if best is None else best[1]


def test_look_takes_the_sharp_and_well_lit_picture_of_its_window() -> None:
    look = Look(window_s=0.0)
    for pictures in ((BLURRED, SHARP, DARK), (SHARP, DARK, BLURRED), (DARK, BLURRED, SHARP)):
        look.begin()
        assert chosen(look, *pictures) == next(i for i, one in enumerate(pictures) if one is SHARP)
        assert not look.is_due
        assert look.chosen() is None


def test_look_within_its_window_waits_for_more() -> None:
    look = Look(window_s=3600.0)
    assert not look.is_due
    look.begin()
    assert look.is_due
    assert chosen(look, SHARP) is None
    assert look.is_due


def test_camera_look_and_photograph_come_from_the_same_best_picture(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    large = cv2.resize(SHARP, (1920, 1440), interpolation=cv2.INTER_NEAREST)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (1920, 1440))
    for _ in range(3):
        writer.write(large)
    writer.release()
    queue, taken = EventQueue(), list[UInt8Array]()
    with Camera(queue, str(path), fps=0.01) as camera:
        first = queue.get(WAIT_S)
        camera.photograph(taken.append)
        second = queue.get(WAIT_S)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.rgb.shape, second.rgb.shape) == ((480, 640, 3), (960, 1280, 3))
    assert [one.shape for one in taken] == [(1440, 1920, 3)]

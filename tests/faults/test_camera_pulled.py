"""A camera that is pulled and comes back, again and again, through OpenCV itself; a video file stands for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.observers import FunctionObserver
from glasses.devices.camera_supervisor import CameraSupervisor
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import LocalDevices
from glasses.devices.portaudio import SoundDevice
from glasses.runtime.bundle import open_bundle
from glasses.types import SAMPLE_RATE_HZ, DeviceChange, Frame

PULLS = int(os.environ.get("GLASSES_TEST_PULLS", "3"))
BACK_S = 5.0


def film(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 100, (64, 48))
    for grey in range(20):  # a fifth of a second: what is open is read to its end, gone or not
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    return path


def soon(true: Callable[[], bool], what: str, within_s: float = 30.0) -> float:
    """Waits until `true` holds; returns the seconds it took."""
    began_s = time.monotonic()
    while not true():
        assert time.monotonic() - began_s < within_s, f"no {what} within {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - began_s


def least_held(process: psutil.Process) -> tuple[int, int]:
    """Descriptors and threads without those that FFmpeg adds for a moment, as the film is opened again at its end."""
    seen = []
    for _ in range(50):
        seen.append((process.num_fds(), process.num_threads()))
        time.sleep(0.01)
    return min(n for n, _ in seen), min(n for _, n in seen)


def test_supervisor_camera_pulled_sees_again_soon_and_leaks_nothing(tmp_path: Path) -> None:
    queue, there, away = EventQueue(), film(tmp_path / "film.avi"), tmp_path / "away.avi"
    back_s, held, changes = list[float](), list[tuple[int, int]](), list[DeviceChange]()
    process = psutil.Process()
    supervisor = CameraSupervisor(LocalDevices(camera_source=str(there)), queue, changes.append)
    supervisor.start(True)

    def sees() -> bool:
        supervisor.follow(True)
        return isinstance(queue.get(0), Frame)

    def said(state: str) -> bool:
        supervisor.follow(True)
        return bool(changes) and changes[-1].state == state

    try:
        soon(sees, "picture")
        for _ in range(PULLS):
            there.rename(away)
            soon(lambda: said("disconnected"), "camera that says it is gone")
            while queue.get(0) is not None:  # what it saw before
                pass
            time.sleep(1.2)  # at least one try in vain
            assert queue.get(0) is None, "it sees with nothing there"
            away.rename(there)
            back_s.append(soon(sees, "picture after it is back", BACK_S))
            soon(lambda: said("reconnected"), "camera that says it is back")
            held.append(least_held(process))
    finally:
        supervisor.close()
    print(f"{PULLS} pulls: it sees again after {max(back_s):.1f} s at most")
    assert held[-1] <= held[0], f"descriptors, threads: {held}"


class Microphone:
    """A silent microphone: this runs on machines without sound devices too."""

    device, overruns, gone = SoundDevice(0, "none", SAMPLE_RATE_HZ), 0, False

    def close(self) -> None: ...


@pytest.mark.models
def test_assistant_camera_pulled_reports_gone_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Screen, page and recorder get the same events as `watch`; their own tests say what they make of them."""
    there, away = film(tmp_path / "film.avi"), tmp_path / "away.avi"
    monkeypatch.setattr(LocalDevices, "microphone", lambda devices, queue: Microphone())
    seen, frames = list[DeviceChange](), list[Frame]()

    def watch(what: Any) -> None:
        if isinstance(what, DeviceChange):
            seen.append(what)
        elif isinstance(what, Frame):
            frames.append(what)

    loaded = open_bundle(n_threads=1)
    watching = [FunctionObserver(watch, DeviceChange, Frame)]
    assistant = Assistant(NO_MEMORY, loaded, None, LocalDevices(camera_source=str(there)), observers=watching)
    wearing = threading.Thread(target=assistant.run)
    wearing.start()
    try:
        soon(lambda: len(frames) > 2, "picture")
        assert seen == []
        for pull in range(1, 3):
            there.rename(away)
            soon(lambda pull=pull: len(seen) == 2 * pull - 1, "word that the camera is gone")
            time.sleep(1.2)  # at least one try in vain, of which nothing is said
            away.rename(there)
            soon(lambda pull=pull: len(seen) == 2 * pull, "word that the camera is back", BACK_S)
        assistant.mute(True)
        soon(lambda: seen[-1].state == "muted", "mute")
        there.rename(away)  # pulled while it is shut: it does not open again
        assistant.mute(False)
        soon(lambda: seen[-1].state == "disconnected", "word that the camera is gone")
        away.rename(there)
        n_frames = len(frames)
        soon(lambda: seen[-1].state == "reconnected" and len(frames) > n_frames, "picture after it is back", BACK_S)
    finally:
        assistant.stop()
        wearing.join(30)
        loaded.close()
    of_camera = [one.state for one in seen if "camera" in one.why]
    assert of_camera == ["disconnected", "reconnected"] * 3
    assert "film.avi" in seen[-2].why, "which camera"

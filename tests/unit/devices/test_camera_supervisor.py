"""A camera that stalls, breaks and comes back, with a capture made for the test: only its own threads wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from glasses.devices import camera as cameras
from glasses.devices.camera_supervisor import CameraSupervisor
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import LocalDevices
from glasses.system.supervised import failed_threads
from glasses.types import AudioChunk, DeviceChange, frozen


class Capture:
    """A capture with OpenCV's interface; `grab` waits while `stalled` and raises what it is told to. Notes threads."""

    made: list[Capture]

    def __init__(self) -> None:
        self.may_grab, self.in_grab = threading.Event(), threading.Event()
        self.may_grab.set()
        self.error: Exception | None = None
        self.released_by: int | None = None
        self.n_grabbed = self.n_stopped_by_release = 0
        Capture.made.append(self)

    def grab(self) -> bool:
        self.in_grab.set()
        self.may_grab.wait()
        self.n_stopped_by_release += self.released_by is not None
        if self.error:
            raise self.error
        self.n_grabbed += 1
        time.sleep(0.001)
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        self.released_by = threading.get_ident()


class Watched:
    """A supervisor as the listener's thread uses it."""

    def __init__(self) -> None:
        self.queue, self.changes = EventQueue(), list[DeviceChange]()
        self.supervisor = CameraSupervisor(LocalDevices(camera_source=0), self.queue, self.changes.append, retry_s=0.01)
        self.supervisor.start(True)

    def until(self, true: Callable[[], object], *, wanted: bool = True) -> None:
        """Follows, as the listener does, until it is so."""
        end_s = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end_s
            self.supervisor.follow(wanted)
            time.sleep(0.005)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    Capture.made = []
    monkeypatch.setattr(cameras, "open_capture", lambda source: Capture())
    opened = Watched()
    yield opened
    for one in Capture.made:
        one.may_grab.set()
    opened.supervisor.close()


def test_supervisor_camera_that_stalls_holds_up_nobody(watched: Watched) -> None:
    """Muted and unmuted while `grab` does not return, the caller goes on, and a chunk of sound is taken."""
    (stalled,) = Capture.made
    watched.until(lambda: stalled.n_grabbed)
    stalled.may_grab.clear()
    stalled.in_grab.clear()
    assert stalled.in_grab.wait(30)
    for wanted in (False, True, False):
        watched.supervisor.follow(wanted)
    while watched.queue.get(0) is not None:  # what it saw before
        pass
    watched.queue.put(AudioChunk(0, 0, frozen(np.zeros(320, np.int16)), 16_000))
    assert isinstance(watched.queue.get(0), AudioChunk)
    assert not stalled.may_grab.is_set(), "all of that while the camera stalls"
    assert stalled.released_by is None, "released under the feet of a read"
    stalled.may_grab.set()
    watched.until(lambda: stalled.released_by, wanted=False)
    assert stalled.n_stopped_by_release == 0
    assert stalled.released_by not in (None, threading.get_ident())
    assert watched.queue.get(0) is None, "a picture of the time it was not wanted"
    assert watched.changes == []


def test_supervisor_camera_unwanted_while_it_opens_counts_as_open_until_it_is_closed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open, opening = threading.Event(), threading.Event()

    def open_slowly(source: object) -> Capture:
        opening.set()
        assert may_open.wait(30)
        return Capture()

    watched.until(lambda: watched.supervisor.is_closed, wanted=False)
    monkeypatch.setattr(cameras, "open_capture", open_slowly)
    watched.until(opening.is_set)
    watched.supervisor.follow(False)
    assert not watched.supervisor.is_closed
    may_open.set()
    watched.until(lambda: watched.supervisor.is_closed, wanted=False)
    assert all(one.released_by is not None for one in Capture.made)


def test_supervisor_exception_in_the_camera_thread_reopens_it(watched: Watched) -> None:
    (broken,) = Capture.made
    watched.until(lambda: broken.n_grabbed)
    broken.error = RuntimeError("a driver's own")
    watched.until(lambda: [one.state for one in watched.changes] == ["disconnected", "reconnected"])
    assert broken.released_by is not None
    assert len(Capture.made) == 2
    assert failed_threads() == [], "the thread that failed is replaced"


def test_supervisor_camera_that_opens_and_gives_no_picture_stays_gone(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = Capture.made
    watched.until(lambda: first.n_grabbed)

    def grab(self: Capture) -> bool:
        return False

    monkeypatch.setattr(Capture, "grab", grab)
    watched.until(lambda: len(Capture.made) == 3)
    assert [one.state for one in watched.changes] == ["disconnected"]


def test_supervisor_foreign_exception_at_opening_is_reported_and_retried(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(source: Any) -> Capture:
        raise RuntimeError("of the library")

    (first,) = Capture.made
    watched.until(lambda: first.n_grabbed)
    monkeypatch.setattr(cameras, "open_capture", fails)
    first.error = RuntimeError("gone")
    watched.until(failed_threads)
    assert {one.name for one in failed_threads()} <= {"camera", "camera supervisor"}
    monkeypatch.setattr(cameras, "open_capture", lambda source: Capture())
    watched.until(lambda: [one.state for one in watched.changes] == ["disconnected", "reconnected"])

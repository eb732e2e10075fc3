"""Muted during `glasses run`: what is said and seen then is neither read from a device nor written anywhere.

The run is traced by strace, records, and has its page open. The same search finds the room's sound and the camera's
pictures before and after the mute. Compressed chunks of a recording, which that search misses, are read back.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest

from glasses.evaluation.bench.virtual_room import Room
from glasses.replay.session import entries_of
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Frame, Latents
from tests.live.glasses_run import GlassesRun

pytestmark = [pytest.mark.models, pytest.mark.live]
MARK = 0x2A5A  # a constant sample: survives resampling
JPEG = bytes.fromhex("ffd8ffe0")  # how a picture begins, on the page's socket and in a recording
READS = "read,readv,recvfrom,recvmsg,recvmmsg,pread64,preadv,preadv2"
WRITES = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg"
UNSEEN = ("sendfile", "splice", "vmsplice", "tee", "copy_file_range", "io_uring_enter")  # carry bytes strace shows not
SETTLED_S = 1.5  # the recorder writes what it was given within half a second


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path / "room") as opened:
        yield opened


def film(path: Path) -> Path:
    """A video of half a minute of coloured noise, to be used as a camera."""
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for _ in range(300):
        writer.write(noise.integers(0, 255, (240, 320, 3), np.uint8))
    writer.release()
    return path


def traced(trace: Path, offset: int) -> tuple[bool, bool, set[str]]:
    """Of system calls from `offset` on: whether a buffer holds MARK, a JPEG, and calls whose buffers are not shown."""
    sound, picture, hidden = False, False, set[str]()
    with trace.open() as file:
        file.seek(offset)
        for line in file:
            hidden |= {name for name in UNSEEN if f" {name}(" in line}
            for text in re.findall(r'"((?:\\x[0-9a-f]{2}){16,})"', line):
                data = bytes.fromhex(text.replace("\\x", ""))
                picture = picture or JPEG in data
                sound = sound or any(is_marked(data[shift:]) for shift in (0, 1))
    return sound, picture, hidden


def is_marked(data: bytes) -> bool:
    """Whether eight consecutive samples are near MARK."""
    near = np.abs(np.frombuffer(data[: len(data) // 2 * 2], np.int16).astype(np.int32) - MARK) < 200
    return len(near) >= 8 and bool(np.convolve(near, np.ones(8), "valid").max() == 8)


class Page:
    """The dashboard of a `glasses run`, used as by a person with a browser."""

    def __init__(self, glasses_run: GlassesRun, client: httpx.Client) -> None:
        address = next(e["text"] for e in glasses_run.events if "dashboard: " in e.get("text", ""))
        self._glasses_run, self._client = glasses_run, client
        assert client.get(address.removeprefix("dashboard: ")).status_code == 200
        self._url = address.removeprefix("dashboard: ").split("/?")[0]

    def sees(self) -> bool:
        """Whether the page serves a picture of the camera."""
        return self._client.get(f"{self._url}/camera.jpg").content.startswith(b"\xff\xd8")

    def mute(self, muted: bool) -> int:
        """Sets mute as the page's button does; returns the time (ns) at which it was done."""
        before = len(self._glasses_run.events)
        assert self._client.post(f"{self._url}/mute", json={"muted": muted}).status_code < 300
        return self._glasses_run.wait_for("devices", after=before, state="muted" if muted else "unmuted")["t_ns"]


def while_marked(room: Room, page: Page, trace: Path) -> tuple[bool, bool, bool, set[str]]:
    """Plays MARK for two seconds and polls the page: whether it served a picture, and what `traced` returns."""
    offset = trace.stat().st_size
    playing = room.play(np.full(SAMPLE_RATE_HZ * 2, MARK / 32767, np.float32))
    sees = False
    while playing.poll() is None:
        sees = page.sees() or sees
        time.sleep(0.2)
    time.sleep(SETTLED_S)
    return sees, *traced(trace, offset)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (make test-live does)")
def test_run_muted_by_the_page_reads_sends_and_keeps_nothing(room: Room, tmp_path: Path) -> None:
    """Nothing of the room or the camera is read from a device, sent or kept."""
    trace, recordings = tmp_path / "trace", tmp_path / "recordings"
    calls = f"trace={READS},{WRITES},{','.join(UNSEEN)}"
    strace = ["strace", "-f", "-qq", "-xx", "-s", "65536", "-e", calls, "-o", str(trace)]
    options = ["--no-voice", "--camera", str(film(tmp_path / "film.avi")), "--record", str(recordings)]
    (tmp_path / "client.conf").write_text("enable-shm = no\n")  # so that sound crosses the socket, in the trace's sight
    env = {"PULSE_CLIENTCONFIG": str(tmp_path / "client.conf")}
    with (
        GlassesRun(room, *options, "--dashboard", "127.0.0.1:0", under=strace, env=env) as glasses_run,
        httpx.Client(follow_redirects=True, timeout=60) as client,
    ):
        page = Page(glasses_run, client)
        assert while_marked(room, page, trace)[:3] == (True, True, True), "the search finds nothing where there is much"
        muted_ns = page.mute(True)
        time.sleep(SETTLED_S)
        assert while_marked(room, page, trace) == (False, False, False, set())
        unmuted_ns = page.mute(False)
        assert while_marked(room, page, trace)[:2] == (True, True), "unmuted it hears and sees again"
        os.kill(psutil.Process(glasses_run.pid).children()[0].pid, signal.SIGTERM)
        glasses_run.wait_for("stopped")
    kept = [entry for entry in entries_of(recordings) if isinstance(entry, (AudioChunk, Frame, Latents))]
    assert {AudioChunk, Frame} <= {type(entry) for entry in kept if entry.t_ns < muted_ns}
    assert {AudioChunk, Frame} <= {type(entry) for entry in kept if entry.t_ns > unmuted_ns}
    assert not [entry for entry in kept if muted_ns < entry.t_ns < unmuted_ns]

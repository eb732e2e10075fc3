"""What `glasses run` does with devices that are pulled, stages that hang, heat, and mute, on a real PulseAudio."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from glasses.assistant.assistant import TOO_HOT
from glasses.audio.sound_files import read_audio
from glasses.evaluation.bench.virtual_room import Room
from glasses.types import SAMPLE_RATE_HZ
from tests.live.conftest import SPEECH
from tests.live.glasses_run import GlassesRun, lines_of

pytestmark = [pytest.mark.models, pytest.mark.live]
PULLS = int(os.environ.get("GLASSES_TEST_PULLS", "10"))
BACK_S = 5.0  # the goal: hears again after a device is plugged in
MARK = 0x2A5A  # a constant sample: survives resampling, and is found wherever a byte of the room is written


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A room in which the microphone does not hear the speaker."""
    with Room(tmp_path / "room") as opened:
        yield opened


def ask(room: Room, glasses_run: GlassesRun) -> None:
    """Plays a held-out question and waits for its answer. A reply to a pause within it may come first."""
    before = len(glasses_run.events)
    room.play(read_audio(SPEECH / lines_of(SPEECH, "question")[0]["file"])).wait(60)
    glasses_run.wait_for("reply", after=before, outcome="completed")


def test_run_sound_devices_pulled_repeatedly_come_back_and_leak_nothing(room: Room) -> None:
    """PortAudio 19.6 sometimes never lets go of a device whose server died. Then the process says so and ends, for the
    service manager to start it again, as this test does.
    """
    counts: list[tuple[int, int]] = []
    back_s: list[float] = []
    glasses_run = GlassesRun(room, "--activation", "speech")
    for _ in range(PULLS):
        before = len(glasses_run.events)
        room.kill()
        time.sleep(0.5)
        began_s = time.monotonic()
        room.start()
        if glasses_run.comes_back(after=before):
            back_s.append(time.monotonic() - began_s)
            counts.append((psutil.Process(glasses_run.pid).num_fds(), psutil.Process(glasses_run.pid).num_threads()))
            continue
        assert glasses_run.stop() == 2
        glasses_run, counts = GlassesRun(room, "--activation", "speech"), []
    with glasses_run:
        ask(room, glasses_run)
        assert glasses_run.stop() == 0
    print(f"{PULLS} pulls: back after {max(back_s, default=0):.1f} s at most, {PULLS - len(back_s)} ended the process")
    assert max(back_s, default=0) < BACK_S
    assert not counts or counts[-1][0] <= counts[0][0] + 2, f"descriptors, threads: {counts}"


@pytest.mark.parametrize("stage", ["listener", "responder"])
def test_run_stage_that_hangs_starves_the_watchdog(room: Room, tmp_path: Path, stage: str) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        env = {**os.environ, **room.env, "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1500000"}
        command = [sys.executable, "-m", "glasses", "run", "--json", "--inject", f"{stage}-hangs"]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                seen = ""
                while "no progress" not in seen:
                    seen = listener.recv(4096).decode()
                assert stage in seen
                until_s, pings = time.monotonic() + 3, 0
                listener.settimeout(1)
                while time.monotonic() < until_s:
                    with suppress(TimeoutError):
                        pings += b"WATCHDOG=1" in listener.recv(4096)
                assert not pings, "it still said that all was well"
            finally:
                process.kill()


def test_run_too_hot_says_so_and_sheds_in_the_declared_order(room: Room) -> None:
    with GlassesRun(room, "--activation", "speech", "--inject", "too-hot") as glasses_run:
        note = glasses_run.wait_for("note", text="shed: camera, remote, backbone (200.0 deg C)")
        before = glasses_run.events.index(note)
        room.play(read_audio(SPEECH / lines_of(SPEECH, "question")[0]["file"])).wait(60)
        assert glasses_run.wait_for("reply", after=before, outcome="completed")["answer"] == TOO_HOT
        assert glasses_run.stop() == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (make test-live does)")
@pytest.mark.parametrize("muted", [True, False])
def test_run_muted_reads_and_writes_no_byte_of_the_room(room: Room, tmp_path: Path, muted: bool) -> None:
    """The unmuted run is the control: there the same search finds the room's sound."""
    trace = tmp_path / "trace"
    options = ["--no-voice", "--json", *(["--muted"] if muted else [])]
    calls = "trace=write,writev,sendto,sendmsg,pwrite64,read,readv,recvfrom,recvmsg,pread64"
    strace = ["strace", "-f", "-qq", "-xx", "-s", "4096", "-e", calls, "-o", str(trace)]
    command = [*strace, sys.executable, "-m", "glasses", "run", *options]
    env = {**os.environ, **room.env, "PULSE_CLIENTCONFIG": str(tmp_path / "client.conf")}
    (tmp_path / "client.conf").write_text("enable-shm = no\n")  # so that sound crosses the socket, in the trace's sight
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        offset = trace.stat().st_size
        room.play(np.full(SAMPLE_RATE_HZ * 2, MARK / 32767, np.float32)).wait(60)
        time.sleep(0.5)
        os.kill(psutil.Process(process.pid).children()[0].pid, signal.SIGTERM)
        process.wait(60)
    assert holds_mark(trace, offset) is not muted


def holds_mark(trace: Path, offset: int) -> bool:
    """Whether a buffer of the trace holds eight consecutive samples near MARK."""
    with trace.open() as file:
        file.seek(offset)
        for line in file:
            for text in re.findall(r'"((?:\\x[0-9a-f]{2}){16,})"', line):
                data = bytes.fromhex(text.replace("\\x", ""))
                for shift in (0, 1):
                    samples = np.frombuffer(data[shift : shift + (len(data) - shift) // 2 * 2], np.int16)
                    near = np.abs(samples.astype(np.int32) - MARK) < 200
                    if len(near) >= 8 and np.convolve(near, np.ones(8), "valid").max() == 8:
                        return True
    return False

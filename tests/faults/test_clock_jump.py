"""The wall clock jumps during a recording, from 1970 to today and an hour back: a shim moves it for one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from glasses.evaluation.bench.virtual_room import Room
from glasses.recording.folder import segments
from glasses.replay.session import entries_of
from glasses.types import AudioChunk
from tests.live.glasses_run import GlassesRun
from tests.live.test_talk import say

# What the kernel's clock does when it is set: only the wall clock moves, never the monotonic one. (libfaketime also
# changes how long threads wait, and then hangs them.)
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, t);
    char text[32] = {0};
    int file = id == CLOCK_REALTIME ? open(getenv("CLOCK_FILE"), O_RDONLY) : -1;
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) t->tv_sec += atoll(text);
        close(file);
    }
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""
WORN = """
import sys, time
from pathlib import Path
import numpy as np
from glasses.system.governor import Governed, Limits, Reading, step
from glasses.recording.recorder import Recorder
from glasses.types import AudioChunk

clock, jumps = Path(sys.argv[2]), sys.argv[3:]
recorder = Recorder(Path(sys.argv[1]), {}, segment_s=1.0)
governed, seq, began = Governed(), 0, time.monotonic()
for jump in jumps:
    clock.write_text(jump)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        recorder.put(AudioChunk(time.monotonic_ns(), seq, np.zeros(320, np.int16), 16000))
        governed = step(governed, Reading(time.monotonic_ns(), heat_c=20.0), Limits())
        seq += 1
        time.sleep(0.02)
recorder.close()
print(seq, recorder.n_lost, time.monotonic() - began, int(time.time()))
"""


def shimmed(folder: Path, began: str) -> tuple[Path, dict[str, str]]:
    """The file that holds the wall clock's offset in seconds, and the environment of a process that obeys it."""
    clock, shim = folder / "clock", folder / "shim.so"
    clock.write_text(began)
    (folder / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, folder / "shim.c", "-ldl"], check=True)
    return clock, {"LD_PRELOAD": str(shim), "CLOCK_FILE": str(clock)}


def test_recorder_clock_jumps_keep_recordings_whole_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    now = int(time.time())
    jumps = (str(10 - now), "0", "-3600")  # seconds off: ten after 1970 began, today, an hour back
    clock, faked = shimmed(tmp_path, jumps[0])
    command = [sys.executable, "-c", WORN, str(folder), str(clock), *jumps]
    done = subprocess.run(command, env={**os.environ, **faked}, capture_output=True, text=True, timeout=120, check=True)
    put, lost, seconds, told = done.stdout.split()
    assert int(lost) == 0
    assert abs(int(told) - (now - 3600)) < 120
    assert 4 < float(seconds) < 600, "the jump reached a clock that durations are measured by"
    files = segments(folder)
    stamps = {one.path.name.split("-")[1][:4] for one in files}
    assert {"1970", time.strftime("%Y", time.gmtime(now))} <= stamps, "the clock did jump"
    heard = [entry for one in files for entry in entries_of(one.path) if isinstance(entry, AudioChunk)]
    assert len(heard) == int(put)
    assert all(a.t_ns < b.t_ns for a, b in pairwise(heard))


@pytest.mark.models
@pytest.mark.live
def test_run_clock_jumps_between_and_within_turns_still_answers(tmp_path: Path) -> None:
    now = int(time.time())
    # PortAudio waits for its thread by the wall clock of the kernel, which no shim moves: it is started in the present.
    clock, faked = shimmed(tmp_path, "0")
    recordings = tmp_path / "recordings"
    with Room(tmp_path / "room") as room, GlassesRun(room, "--record", str(recordings), env=faked) as glasses_run:
        for jump in (-3600, 10 - now, 0):
            before = len(glasses_run.events)
            os.kill(glasses_run.pid, signal.SIGUSR1)
            glasses_run.wait_for("turn_started", after=before)
            clock.write_text(str(jump))  # while somebody speaks
            say(room, 0)
            reply = glasses_run.wait_for("reply", after=before, outcome="completed")
            assert 0 < reply["first_audio_ms"] < 60_000, "a wait that took an hour, or less than none"
        cpu_s = psutil.Process(glasses_run.pid).cpu_times().user
        time.sleep(3)
        assert psutil.Process(glasses_run.pid).cpu_times().user - cpu_s < 2, "a storm of timers"
        assert not any(event["what"] == "devices" for event in glasses_run.events), "nothing was taken for gone"
        assert glasses_run.stop() == 0
    heard = [entry for entry in entries_of(recordings) if isinstance(entry, AudioChunk)]
    assert heard
    assert all(a.t_ns < b.t_ns for a, b in pairwise(heard))

"""The wall clock jumps while it records, from 1970 to today and an hour back: a shim moves it for one process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from glasses.recordings import segments
from glasses.replay import entries_of
from glasses.types import AudioChunk

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
        if (read(file, text, sizeof text - 1) > 0) t->tv_sec = atoll(text);
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
from glasses.governor import Governed, Limits, Reading, step
from glasses.record import Recorder
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


def test_recordings_stay_whole_and_in_order(tmp_path: Path) -> None:
    clock, folder, shim = tmp_path / "clock", tmp_path / "recordings", tmp_path / "shim.so"
    now = int(time.time())
    jumps = ("10", str(now), str(now - 3600))  # seconds since 1970
    clock.write_text(jumps[0])
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, tmp_path / "shim.c", "-ldl"], check=True)
    faked = {"LD_PRELOAD": str(shim), "CLOCK_FILE": str(clock)}
    command = [sys.executable, "-c", WORN, str(folder), str(clock), *jumps]
    done = subprocess.run(command, env={**os.environ, **faked}, capture_output=True, text=True, timeout=120, check=True)
    put, lost, seconds, told = done.stdout.split()
    assert int(lost) == 0
    assert int(told) == now - 3600
    assert 4 < float(seconds) < 600, "the jump reached a clock that durations are measured by"
    files = segments(folder)
    stamps = {one.path.name.split("-")[1][:4] for one in files}
    assert {"1970", time.strftime("%Y", time.gmtime(now))} <= stamps, "the clock did jump"
    heard = [entry for one in files for entry in entries_of(one.path) if isinstance(entry, AudioChunk)]
    assert len(heard) == int(put)
    assert all(a.t_ns < b.t_ns for a, b in pairwise(heard))

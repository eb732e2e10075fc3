"""How long `glasses run` takes to recover from a fault, one fault after another, in a virtual room.

Each fault is `glasses run --inject`, or the process or the sound server is killed. The process is supervised as by a
service manager: one that ends, reports that it hangs, or no longer reports progress is killed and started again. Needs
PulseAudio (virtual_room.py).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from glasses.assistant.fault_injection import INJECTED
from glasses.evaluation.bench.virtual_room import Room
from glasses.evaluation.progress import Tick
from glasses.recording.folder import opened, segments
from glasses.recording.mcap_file import read_entries
from glasses.types import NS_PER_S, AudioChunk

WATCHDOG_S, RESTART_S = 2.0, 0.1  # WatchdogSec and RestartSec of hardware/glasses.service
_POLL_S = 0.02
_PATIENCE_S = 120.0
_BACK = "sound devices are back (or it was started again: PortAudio may not let go of one)"
FAULTS = {
    "microphone-gone": _BACK,
    "speaker-gone": _BACK,
    "sound-server-killed": f"{_BACK}, from the server's own start on",
    "killed": "kill -9 while it records: started again, ready",
    "too-hot": "camera, remote and backbone are shed",
    "listener-hangs": "killed by the watchdog, started again, ready",
    "responder-hangs": "killed by the watchdog, started again, ready",
    "stopped": "killed by the watchdog, started again, ready",
}
_SETTLED_S = 8.0  # of running: past the time in which a device may still be starting


def run(bundle: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Seconds to recover by fault, None where it did not. Interrupted, it gives what it has.

    Raises SensorError(NOT_INSTALLED, TIMEOUT).
    """
    figures: dict[str, Any] = {}
    try:
        for i, (fault, means) in enumerate(FAULTS.items()):
            tick("faults", i, len(FAULTS))
            with tempfile.TemporaryDirectory() as folder, Room(Path(folder) / "room") as room:
                seconds, lost_s = _recovery_s(bundle, room, Path(folder), fault)
            figures[fault] = {"recovered_s": None if seconds is None else round(seconds, 2), "means": means}
            if lost_s is not None:
                figures[fault]["means"] += f"; {lost_s:.2f} s of it lost"
    except KeyboardInterrupt:  # each takes a quarter of a minute at least
        pass
    return figures


def report(figures: dict[str, Any]) -> str:
    """The figures as a table for README."""
    lines = ["| fault | recovered after | that is |", "|---|---:|---|"]
    for fault, row in figures.items():
        seconds = "not at all" if row["recovered_s"] is None else f"{row['recovered_s']:.1f} s"
        lines.append(f"| {fault} | {seconds} | {row['means']} |")
    return "\n".join(lines)


def _recovery_s(bundle: str, room: Room, folder: Path, fault: str) -> tuple[float | None, float | None]:
    """Seconds from the fault to recovery, and seconds of the recording that were lost, where there was one."""
    recordings = folder / "recordings"
    with _Managed(bundle, room, folder, {"killed": ["--record", str(recordings)]}.get(fault, [])) as worn:
        if fault in INJECTED:
            worn.start(["--inject", fault])
            injected = worn.wait_for(lambda event: str(event.get("text", "")).startswith("injected"))
            began_ns = injected["t_ns"] if injected else time.monotonic_ns()
        else:
            worn.start([])
            worn.wait_for(_is_ready)
            time.sleep(_SETTLED_S)
            began_ns = worn.kill() if fault == "killed" else _restart(room)
        is_well = _is_shed if fault == "too-hot" else _is_back if FAULTS[fault].startswith(_BACK) else _is_ready
        found = worn.wait_for(lambda event: event["t_ns"] > began_ns and is_well(event))
    lost_s = (began_ns - _recorded_until_ns(recordings)) / 1e9 if fault == "killed" else None
    return ((found["t_ns"] - began_ns) / 1e9 if found else None), lost_s


def _is_ready(event: dict[str, Any]) -> bool:
    return event["what"] == "ready"


def _is_back(event: dict[str, Any]) -> bool:
    return event.get("state") == "reconnected" or _is_ready(event)


def _is_shed(event: dict[str, Any]) -> bool:
    return "backbone" in str(event.get("text", ""))


def _restart(room: Room) -> int:
    """Kills the sound server and starts it again; returns when, in ns."""
    room.kill()
    time.sleep(0.5)
    began_ns = time.monotonic_ns()
    room.start()
    return began_ns


def _recorded_until_ns(folder: Path) -> int:
    """The end of the sound in the first segment, which the next process has recovered."""
    with opened(segments(folder)[0].path) as stream:
        chunks = [entry for entry in read_entries(stream, "recording") if isinstance(entry, AudioChunk)]
    return chunks[-1].t_ns + len(chunks[-1].pcm) * NS_PER_S // chunks[-1].rate_hz


class _Managed:
    """`glasses run --json` under a watchdog: started again, without the fault, when it starves it or ends."""

    def __init__(self, bundle: str, room: Room, folder: Path, options: list[str]) -> None:
        glasses = [sys.executable, "-m", "glasses", "run", "--json", "--activation", "speech", "--bundle", bundle]
        self._command = [*glasses, *options]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(folder / "notify")
        self._socket.bind(address)
        self._socket.settimeout(_POLL_S)
        watchdog = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
        self._env = {**os.environ, **room.env, **watchdog, "XDG_RUNTIME_DIR": str(folder)}
        self._events: list[dict[str, Any]] = []
        self._more = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._guard, daemon=True)

    def start(self, options: list[str]) -> None:
        """For the first time; these options are not given to those that follow."""
        self._start(options)
        self._thread.start()

    def kill(self) -> int:
        """kill -9; returns when, in ns."""
        killed_ns = time.monotonic_ns()
        self._process.kill()
        return killed_ns

    def wait_for(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """The first event of the kind, whenever it came."""
        with self._more:
            self._more.wait_for(lambda: any(map(is_it, self._events)), _PATIENCE_S)
            return next(filter(is_it, self._events), None)

    def _start(self, options: list[str]) -> None:
        self._process = subprocess.Popen(
            [*self._command, *options], env=self._env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def _read(self, lines: Any) -> None:
        with lines:
            for line in lines:
                with self._more:
                    self._events.append(json.loads(line))
                    self._more.notify_all()

    def _guard(self) -> None:
        """As systemd does from READY=1 on."""
        ready, fed_s = False, time.monotonic()
        while not self._over:
            try:
                said = self._socket.recv(4096)
            except TimeoutError:
                said = b""
            ready = ready or b"READY=1" in said
            fed_s = time.monotonic() if b"WATCHDOG=1" in said or not ready else fed_s
            starved = ready and (time.monotonic() - fed_s > WATCHDOG_S or b"WATCHDOG=trigger" in said)
            if (starved or self._process.poll() is not None) and not self._over:
                self._process.kill()
                self._process.wait()
                ready = False
                time.sleep(RESTART_S)
                self._start([])

    def __enter__(self) -> _Managed:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(3 * WATCHDOG_S)
        self._process.kill()
        self._process.wait()
        self._socket.close()

"""How long it takes to be well again: `glasses run` in a room without a sound card, hurt in one way after another.

Each fault is `glasses run --inject` (or the sound server killed), watched as a service manager would: a process that
says no more that it makes progress is killed and started again. Needs PulseAudio (bench/room.py). Knows no model.
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

from glasses.bench.room import Room
from glasses.commands.progress import Tick

WATCHDOG_S = 2.0  # hardware/glasses.service
_PATIENCE_S = 120.0
FAULTS = {
    "microphone-gone": "sound devices are back",
    "speaker-gone": "sound devices are back",
    "sound-server-killed": "sound devices are back, from the server's own return on",
    "too-hot": "camera, remote and backbone are shed",
    "ear-hangs": "killed by the watchdog, started again, ready",
    "mouth-hangs": "killed by the watchdog, started again, ready",
    "stopped": "killed by the watchdog, started again, ready",
}


def run(bundle: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Seconds to recover by fault, None where it did not. Raises SensorError(NOT_INSTALLED, TIMEOUT)."""
    figures: dict[str, Any] = {}
    for i, (fault, means) in enumerate(FAULTS.items()):
        tick("faults", i, len(FAULTS))
        with tempfile.TemporaryDirectory() as folder, Room(Path(folder) / "room") as room:
            seconds = _recovery_s(bundle, room, Path(folder), fault)
            figures[fault] = {"recovered_s": None if seconds is None else round(seconds, 2), "means": means}
    return figures


def report(figures: dict[str, Any]) -> str:
    """The figures as a table for README."""
    lines = ["| fault | recovered after | that is |", "|---|---:|---|"]
    for fault, told in figures.items():
        seconds = "not at all" if told["recovered_s"] is None else f"{told['recovered_s']:.1f} s"
        lines.append(f"| {fault} | {seconds} | {told['means']} |")
    return "\n".join(lines)


def _recovery_s(bundle: str, room: Room, folder: Path, fault: str) -> float | None:
    options = [] if fault == "sound-server-killed" else ["--inject", fault]
    with _Managed(bundle, room, folder, options) as worn:
        if fault == "sound-server-killed":
            worn.wait_for(lambda event: event["what"] == "ready")
            time.sleep(8)  # past the time in which a device may still be starting
            room.kill()
            time.sleep(0.5)
            began_ns = time.monotonic_ns()
            room.start()
        else:
            injected = worn.wait_for(lambda event: str(event.get("text", "")).startswith("injected"))
            began_ns = injected["t_ns"] if injected else time.monotonic_ns()
        is_well: dict[str, Callable[[dict[str, Any]], bool]] = {
            "devices": lambda event: event.get("state") == "back",
            "shed": lambda event: "backbone" in str(event.get("text", "")),
            "ready": lambda event: event["what"] == "ready",
        }
        kind = "devices" if "devices" in FAULTS[fault] else "shed" if "shed" in FAULTS[fault] else "ready"
        found = worn.wait_for(lambda event: event["t_ns"] > began_ns and is_well[kind](event))
        return (found["t_ns"] - began_ns) / 1e9 if found else None


class _Managed:
    """`glasses run --json` under a watchdog: started again, without the fault, when it starves it."""

    def __init__(self, bundle: str, room: Room, folder: Path, options: list[str]) -> None:
        self._command = [sys.executable, "-m", "glasses", "run", "--json", "--address", "speech", "--bundle", bundle]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = str(folder / "notify")
        self._socket.bind(address)
        self._socket.settimeout(WATCHDOG_S)
        watchdog = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
        self._env = {**os.environ, **room.env, **watchdog, "XDG_RUNTIME_DIR": str(folder)}
        self._events: list[dict[str, Any]] = []
        self._more = threading.Condition()
        self._over = False
        self._start(options)
        self._thread = threading.Thread(target=self._guard, daemon=True)
        self._thread.start()

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
            starved = ready and time.monotonic() - fed_s > WATCHDOG_S
            if (starved or self._process.poll() is not None) and not self._over:
                self._process.kill()
                self._process.wait()
                ready = False
                self._start([])

    def __enter__(self) -> _Managed:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(3 * WATCHDOG_S)
        self._process.kill()
        self._process.wait()
        self._socket.close()

"""Checks this installation and tells a person what to do about each problem. It changes nothing and opens no device.

Every check gives one CheckResult and never raises for what it looks for. `root` is where /sys lies, so that the same
code reads a board and a picture of one. The state of the running service comes from systemd.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import psutil

from glasses.devices import portaudio
from glasses.errors import GlassesError
from glasses.model_store import store
from glasses.system.board import Board
from glasses.system.board_sensors import MIB, read_board, read_number, read_text
from glasses.system.governor import Limits
from glasses.system.watchdog import DEGRADED

State = Literal["ok", "warn", "fail"]
UNIT = "glasses.service"
NEEDED_FREE_MB = 120  # beside the bundle's mapped files: what `glasses bench memory` grows by after loading, rounded up
NEEDED_DISK_MB = 300  # the least that recordings and a pull of a connector want


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, how it is, what was found, and what to do where it is not well."""

    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What is checked: a bundle on a board, with its folder of recordings."""

    bundle: str
    board: Board
    recordings: Path
    full: bool = False  # read and hash every model file
    root: Path = Path("/")


def check(place: CheckContext) -> list[CheckResult]:
    """Runs every check, in the order a person would."""
    return [one(place) for one in CHECKS]


def _system(place: CheckContext) -> CheckResult:
    name = (
        read_text(place.root / "sys/firmware/devicetree/base/model")
        or "no device tree: not a board, or not Linux on ARM"
    )
    cores = psutil.cpu_count() or 1
    found = f"Python {'.'.join(map(str, sys.version_info[:3]))}, {cores} cores; {name}"
    if place.board.cores and cores < place.board.cores:
        advice = f"board {place.board.name} has {place.board.cores} cores: is this the right --board?"
        return CheckResult("system", "warn", found, advice)
    return CheckResult("system", "ok", found)


def _models(place: CheckContext) -> CheckResult:
    try:
        names = store.load_bundle(place.bundle).models()
        states = (store.verify if place.full else store.states)(names)
    except GlassesError as error:
        return CheckResult("models", "fail", str(error), "update the program: its manifests do not fit together")
    wrong = [file for file in states if file.state != "present"]
    if not wrong:
        mb = sum(file.file.size_bytes for file in states) / 1e6
        fetched_mb = sum(file.file.size_bytes for file in states if store.cache_dir() in file.path.parents) / 1e6
        how = "read in full and verified" if place.full else "verified when first used; --full reads them again"
        size = f"{mb:.0f} MB, of which {fetched_mb:.0f} MB were fetched"
        return CheckResult("models", "ok", f"{len(states)} files of the bundle {place.bundle}, {size}: {how}")
    found = ", ".join(f"{file.model}/{file.file.name} {file.state}" for file in wrong)
    return CheckResult(
        "models", "fail", found, f"run: glasses models pull {' '.join(sorted({f.model for f in wrong}))}"
    )


def _voice(place: CheckContext) -> CheckResult:
    del place
    if find_spec("piper") is None:
        return CheckResult("voice", "warn", "answers are text only", "run: pip install -e '.[voice]' (in the checkout)")
    return CheckResult("voice", "ok", "installed")


def _sound(direction: portaudio.Direction, name: str, missing: State, without: str) -> CheckResult:
    try:
        device = portaudio.find(direction)
    except GlassesError as error:
        return CheckResult(name, missing, str(error), f"{without} `arecord -l` and `aplay -l` list them.")
    return CheckResult(name, "ok", f"{device.name}, {device.default_rate_hz} Hz")


def _microphone(place: CheckContext) -> CheckResult:
    del place
    return _sound("input", "microphone", "fail", "Nothing can be heard.")


def _speaker(place: CheckContext) -> CheckResult:
    del place
    return _sound("output", "speaker", "warn", "Answers only reach the HUD.")


def _camera(place: CheckContext) -> CheckResult:
    nodes = sorted(place.root.glob("sys/class/video4linux/video*"))
    if not nodes:
        advice = "questions about what is in view go unanswered; check the ribbon cable, on a Pi `rpicam-hello --list`"
        return CheckResult("camera", "warn", "no video device", advice)
    found = ", ".join(sorted({read_text(node / "name") or node.name for node in nodes}))
    closed = [node.name for node in nodes if not _may_open(place.root / "dev" / node.name)]
    if len(closed) == len(nodes):
        return CheckResult("camera", "fail", f"{found}: not for this user", "add the user to the group video")
    return CheckResult("camera", "ok", found)


def _disk(place: CheckContext) -> CheckResult:
    folder = next(path for path in (place.recordings, *place.recordings.parents) if path.exists())
    free_mb = shutil.disk_usage(folder).free / MIB
    found = f"{free_mb:,.0f} MB free at {folder}"
    if free_mb < NEEDED_DISK_MB:
        return CheckResult("disk", "fail", found, f"free {NEEDED_DISK_MB} MB, or lower the limit of recordings")
    return CheckResult("disk", "ok", found)


def _memory(place: CheckContext) -> CheckResult:
    memory = psutil.virtual_memory()
    found = f"{memory.available / MIB:,.0f} MB of {memory.total / MIB:,.0f} MB free"
    if memory.available / MIB < NEEDED_FREE_MB:
        return CheckResult("memory", "fail", found, "end other programs; a Zero 2 W wants no desktop and gpu_mem=16")
    if place.board.memory_mb and memory.total / MIB < 0.75 * place.board.memory_mb:
        advice = f"board {place.board.name} should have {place.board.memory_mb} MB: is this the right --board?"
        return CheckResult("memory", "warn", found, advice)
    return CheckResult("memory", "ok", found)


def _heat(place: CheckContext) -> CheckResult:
    heat_c = read_board(0, place.root).heat_c
    if heat_c is None:
        return CheckResult("heat", "ok", "the board has no sensor")
    if heat_c >= Limits.below(place.board.throttle_c or 80).heat_c[0]:
        return CheckResult("heat", "warn", f"{heat_c:.0f} deg C", "load is being shed; give it air or a heat sink")
    return CheckResult("heat", "ok", f"{heat_c:.0f} deg C")


def _power(place: CheckContext) -> CheckResult:
    volts = [p.parent for p in place.root.glob("sys/class/hwmon/hwmon*/name") if read_text(p) == "rpi_volt"]
    if any(read_number(path / "in0_lcrit_alarm") for path in volts):
        return CheckResult("power", "fail", "under-voltage", "use the supply and cable made for this board")
    reading = read_board(0, place.root)
    if reading.battery_percent is None:
        return CheckResult("power", "ok", "no battery")
    found = f"battery at {reading.battery_percent:.0f} %" + (", charging" if reading.charging else "")
    low = reading.battery_percent <= Limits().battery_percent[0] and not reading.charging
    return CheckResult("power", "warn" if low else "ok", found, "load is being shed; charge it" if low else "")


def _service(place: CheckContext) -> CheckResult:
    del place
    keys = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText")
    try:
        command = ["systemctl", "show", UNIT, "--property", ",".join(keys)]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return CheckResult("service", "ok", "no systemd runs here; start it with: glasses run")
    return service_finding(dict(line.split("=", 1) for line in shown.splitlines() if "=" in line))


def service_finding(shown: dict[str, str]) -> CheckResult:
    """What `systemctl show` means for a person."""
    active, restarts = shown.get("ActiveState"), int(shown.get("NRestarts") or 0)
    if shown.get("LoadState") != "loaded":
        return CheckResult("service", "ok", "not installed; to start at boot: sudo hardware/install.sh")
    found = f"{active} ({shown.get('SubState')}), {restarts} restarts; {shown.get('StatusText') or 'says nothing'}"
    if active == "active" and shown.get("StatusText", "").startswith(DEGRADED):
        return CheckResult("service", "warn", found, f"journalctl -u {UNIT} says why; restart it and tell us of it")
    if active == "active":
        advice = f"it was restarted {restarts} times: journalctl -u {UNIT}" if restarts else ""
        return CheckResult("service", "warn" if restarts else "ok", found, advice)
    return CheckResult("service", "fail", f"{found}; {shown.get('Result')}", f"journalctl -u {UNIT} -n 50 says why")


CHECKS: tuple[Callable[[CheckContext], CheckResult], ...] = (
    *(_system, _models, _voice, _microphone, _speaker, _camera),
    *(_disk, _memory, _heat, _power, _service),
)


def _may_open(device: Path) -> bool:
    try:
        with device.open("rb"):
            return True
    except PermissionError:
        return False
    except OSError:  # busy, or no stream of pictures: not a matter of permission
        return True

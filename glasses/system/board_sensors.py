"""Reads heat, battery and free memory from /sys and psutil."""

from __future__ import annotations

from pathlib import Path

import psutil

from glasses.system.governor import Reading

MIB = 1 << 20


def read_board(t_ns: int, root: Path = Path("/")) -> Reading:
    """Heat, battery and memory as the governor takes them; None for what the board cannot say."""
    zones = [read_number(path) for path in sorted(root.glob("sys/class/thermal/thermal_zone*/temp"))]
    heats = [millidegrees / 1000 for millidegrees in zones if millidegrees is not None]
    battery = next((p.parent for p in root.glob("sys/class/power_supply/*/type") if read_text(p) == "Battery"), None)
    return Reading(
        t_ns,
        heat_c=max(heats, default=None),
        battery_percent=read_number(battery / "capacity") if battery else None,
        charging=battery is not None and read_text(battery / "status") in ("Charging", "Full", "Not charging"),
        free_mb=psutil.virtual_memory().available / MIB,
    )


def read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def read_number(path: Path) -> float | None:
    try:
        return float(read_text(path))
    except ValueError:
        return None

"""`glasses devices`: lists cameras, microphones, speakers, serial ports and glasses in reach, without opening any."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serial.tools import list_ports

from glasses.devices import picamera, portaudio, v4l2
from glasses.errors import InputError, Reason, SensorError
from glasses.system.event_loop import run_until_signal

if TYPE_CHECKING:
    from firmware_bridge.ble import Backends

_EXAMPLE = """\
examples:
  glasses devices                    cameras, microphones, speakers and serial ports
  glasses devices --scan             also Bluetooth LE glasses in reach (5 s), with what each can do
  glasses devices --scan 15 --json   a longer scan, for a program

Glasses that are connected to another host, a telephone for instance, do not advertise and are not found.
"""
_LONGEST_SCAN_S = 120.0


@dataclass(frozen=True, slots=True)
class Part:
    """The devices of one kind. `absent` says why there can be none."""

    kind: str
    rows: list[dict[str, Any]]
    absent: str | None = None


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `devices`."""
    parser = subparsers.add_parser(
        "devices",
        description="List what can be used, with what it can do.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scan", nargs="?", type=float, const=5.0, metavar="SECONDS", help="scan for Bluetooth LE glasses (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints all kinds and returns 0, also without any device. Raises InputError(BAD_INPUT) for a bad scan time."""
    if args.scan is not None and not 0 < args.scan <= _LONGEST_SCAN_S:
        raise InputError(Reason.BAD_INPUT, f"--scan {args.scan:g}: from above 0 to {_LONGEST_SCAN_S:.0f} seconds")
    parts = [
        Part("cameras", [_without_empty(camera) for camera in _cameras()]),
        _sound("microphones", "input"),
        _sound("speakers", "output"),
        Part("serial ports", _serial_ports()),
    ]
    if args.scan is not None:
        parts.append(run_until_signal(glasses_in_reach(args.scan)))
    if args.json:
        print(json.dumps({part.kind.replace(" ", "_"): _as_json(part) for part in parts}, indent=2))
    else:
        print("\n".join(_as_text(part) for part in parts))
    return 0


def _cameras() -> list[dict[str, Any]]:
    return [
        {"path": camera.path, "name": camera.name, "formats": list(camera.formats), "problem": camera.problem}
        for camera in v4l2.cameras()
    ] + picamera.cameras()


def _sound(kind: str, direction: portaudio.Direction) -> Part:
    try:
        found = portaudio.listed(direction)
    except SensorError as error:
        return Part(kind, [], str(error))
    return Part(kind, [{"number": d.index, "name": d.name, "rate_hz": d.default_rate_hz} for d in found])


def _serial_ports() -> list[dict[str, Any]]:
    ports = sorted(list_ports.comports(), key=lambda port: port.device)
    rows = [
        {
            "path": port.device,
            "name": port.description if port.description != "n/a" else "",
            "usb": f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None and port.pid is not None else "",
            "serial_number": port.serial_number or "",
        }
        for port in ports
    ]
    return [_without_empty(row) for row in rows]


async def glasses_in_reach(duration_s: float, *, backends: Backends | None = None) -> Part:
    """The glasses that advertise within `duration_s`; without Bluetooth `absent` is set."""
    # Only a scan needs bleak, whose import is a tenth of what every command takes to start.
    from firmware_bridge import ble  # noqa: PLC0415
    from firmware_bridge.devices import catalogue  # noqa: PLC0415
    from firmware_bridge.errors import LinkError  # noqa: PLC0415

    print(f"scanning for {duration_s:g} s ...", file=sys.stderr, flush=True)
    try:
        seen = await ble.scan(duration_s, backends=backends or ble.SYSTEM)
    except LinkError as error:
        return Part("glasses", [], str(error))
    rows = [
        {
            "name": one.name,
            "product": one.capabilities.product,
            "addresses": [part.address for part in one.parts],
            "rssi_dbm": one.rssi_dbm,
            "can": sorted(one.capabilities.abilities),
            "note": one.note,
        }
        for one in catalogue.recognise(seen)
    ]
    return Part("glasses", [_without_empty(row) for row in rows])


def _without_empty(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value not in ("", [])}


def _as_json(part: Part) -> dict[str, Any]:
    return {"devices": part.rows, **({"absent": part.absent} if part.absent else {})}


def _as_text(part: Part) -> str:
    lines = [f"  {_line(row)}" for row in part.rows] or [f"  {part.absent or 'none'}"]
    return "\n".join([part.kind, *lines])


_SHOWN: dict[str, Callable[[Any], str]] = {
    "rate_hz": lambda hz: f"{hz} Hz",
    "rssi_dbm": lambda dbm: f"{dbm} dBm",
    "usb": lambda usb: f"USB {usb}",
    "addresses": " + ".join,
    "formats": ", ".join,
    "can": lambda can: "can: " + ", ".join(can),
    "note": lambda note: f"({note})",
}


def _line(row: dict[str, Any]) -> str:
    return "  ".join(_SHOWN.get(key, str)(value) for key, value in row.items())

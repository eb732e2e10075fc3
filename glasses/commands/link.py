"""`glasses link`: the wire to glasses that speak our protocol: pairing, live counters, firmware update."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from firmware_bridge import errors as wire
from firmware_bridge import security
from firmware_bridge.devices.ours import Ours
from firmware_bridge.states import Config
from firmware_bridge.transport import open_transport
from glasses.errors import InputError, LinkError, Reason

_EXAMPLE = """\
examples:
  glasses link /dev/ttyACM0                     what answers there, and what it can do
  glasses link /dev/ttyACM0 --pair              type the code that the glasses show; kept for the next time
  glasses link ble:Ours --monitor               live counters: loss, retries, round trip, clock, throughput
  glasses link 192.168.4.1:7700 --json --seconds 5
  glasses link /dev/ttyACM0 --update firmware.img
"""
_CONNECT_S = 20.0
MAX_IMAGE_BYTES = 16 << 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `link`."""
    parser = subparsers.add_parser(
        "link",
        help="talk to glasses that speak our own protocol",
        description="Connect to glasses over serial, TCP or Bluetooth LE.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("address", metavar="ADDRESS", help="/dev/ttyACM0, HOST:PORT or ble:NAME")
    parser.add_argument("--pair", action="store_true", help="ask for the pairing code, and keep its key")
    parser.add_argument("--monitor", action="store_true", help="show counters until Ctrl-C")
    parser.add_argument("--seconds", type=float, metavar="S", help="measure that long (with --monitor or --json)")
    parser.add_argument("--update", type=Path, metavar="IMAGE", help="install a signed firmware image")
    parser.add_argument("--keys", type=Path, default=_key_folder(), metavar="DIR", help=f"(default: {_key_folder()})")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """One connection. Raises LinkError, InputError."""
    key_path = args.keys / (args.address.strip("/").replace("/", "_").replace(":", "_") + ".key")
    try:
        key = _pair(key_path) if args.pair else _key(key_path)
        asyncio.run(_run(args, key))
    except wire.LinkError as error:
        raise _ours(error) from error
    return 0


async def _run(args: argparse.Namespace, key: bytes | None) -> None:
    device = Ours(partial(open_transport, args.address), Config(key=key))
    try:
        await device.connect(_CONNECT_S)
        if args.update:
            await _update(device, args.update)
        elif args.monitor and not args.json:
            await _monitor(device, args.seconds)
        else:
            await asyncio.sleep(args.seconds or 1.0)
            _print(device, args)
    finally:
        await device.close()


def figures(device: Ours) -> dict[str, Any]:
    """Counters since the link was opened; bytes as on the wire."""
    link, beat = device.session.link, device.heartbeat
    counters = link.counters
    return {
        "state": str(link.state),
        "sessions": counters.sessions,
        "bytes_out": counters.bytes_out,
        "bytes_in": counters.bytes_in,
        "messages_out": counters.messages_out,
        "messages_in": counters.messages_in,
        "sent_again": counters.repeated,
        "sent_again_by_device": beat.get("repeated"),
        "came_twice": counters.duplicates,
        "damaged": counters.bad_frames,
        "damaged_at_device": beat.get("crc_errors"),
        "forged": counters.forged,
        "round_trip_ms": round(link.round_trip.smoothed_us / 1000, 1),
        "clock_offset_ms": round(link.clock.offset_us(time.monotonic_ns() // 1000) / 1000, 3)
        if link.clock.known
        else None,
        "clock_drift_ppm": round(link.clock.drift_ppm, 1),
        "microphone_lost": device.audio_lost,
    }


def _print(device: Ours, args: argparse.Namespace) -> None:
    able = device.capabilities
    version = ".".join(str(part) for part in device.info["firmware_version"])
    said = {
        "device": able.product,
        "firmware": version,
        "slot": device.info["slot"],
        "confirmed": bool(device.info["confirmed"]),
        "battery_percent": device.info.get("battery_percent"),
        "abilities": sorted(able.abilities),
    }
    if args.json:
        print(json.dumps(said | {"link": figures(device)}))
        return
    for name, value in said.items():
        print(f"{name:16} {', '.join(value) if isinstance(value, list) else value}")


async def _monitor(device: Ours, seconds: float | None) -> None:
    end_s = time.monotonic() + seconds if seconds else float("inf")
    before, at_s = figures(device), time.monotonic()
    with Live(_table(before, before, 1.0), refresh_per_second=4) as live:
        while time.monotonic() < end_s:
            await asyncio.sleep(0.5)
            now, now_s = figures(device), time.monotonic()
            live.update(_table(now, before, now_s - at_s))
            before, at_s = now, now_s


def _table(now: dict[str, Any], before: dict[str, Any], elapsed_s: float) -> Table:
    table = Table("what", "value", "a second")
    for name, value in now.items():
        moving = isinstance(value, int) and isinstance(before[name], int) and name != "sessions"
        table.add_row(
            name, "-" if value is None else str(value), f"{(value - before[name]) / elapsed_s:.0f}" if moving else ""
        )
    return table


async def _update(device: Ours, path: Path) -> None:
    try:
        from firmware_bridge.smp import Updater  # noqa: PLC0415 - extra `update`: nobody else needs smpclient
    except ImportError as error:
        raise LinkError(Reason.NOT_INSTALLED, "firmware update needs: pip install 'glasses[update]'") from error
    if not path.is_file() or path.stat().st_size > MAX_IMAGE_BYTES:
        raise InputError(Reason.BAD_INPUT, f"{path}: no file, or over {MAX_IMAGE_BYTES >> 20} MB")
    image = path.read_bytes()
    updater = Updater(device)
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("upload", total=len(image))
        digest = await updater.upload(image, lambda written: progress.update(task, completed=written))
    await updater.try_once(digest)
    print("restarting into it, on trial", file=sys.stderr)
    await device.wait_dropped()
    await device.connect(_CONNECT_S)
    if device.info["confirmed"]:
        raise LinkError(Reason.ABORTED, "the new firmware did not start; the old one runs")
    await updater.confirm()  # it boots and its link works: that is what an update must not break
    print("updated")


def _key_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "glasses" / "links"


def _pair(path: Path) -> bytes:
    code = getpass.getpass("the code that the glasses show: ") if sys.stdin.isatty() else sys.stdin.readline(100)
    key = security.key_of(code)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.hex() + "\n")
    part.rename(path)
    return key


def _key(path: Path) -> bytes | None:
    try:
        key = bytes.fromhex(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(Reason.CORRUPT, f"{path}: no key; pair again (--pair)") from error
    if len(key) != 32:
        raise InputError(Reason.CORRUPT, f"{path}: no key; pair again (--pair)")
    return key


def _ours(error: wire.LinkError) -> LinkError | InputError:
    """The wire's error as the runtime's: its message says all, its reason as near as there is one."""
    kinds = {wire.Reason.BAD_INPUT: Reason.BAD_INPUT, wire.Reason.NOT_FOUND: Reason.NOT_FOUND}
    kinds |= {wire.Reason.TIMEOUT: Reason.TIMEOUT, wire.Reason.BUSY: Reason.BUSY, wire.Reason.REFUSED: Reason.REFUSED}
    kinds |= {wire.Reason.NOT_AUTHENTIC: Reason.REFUSED, wire.Reason.NOT_SUPPORTED: Reason.UNSUPPORTED}
    kinds |= {wire.Reason.CORRUPT: Reason.CORRUPT, wire.Reason.TOO_LARGE: Reason.TOO_LARGE}
    family = InputError if error.reason is wire.Reason.BAD_INPUT else LinkError
    return family(kinds.get(error.reason, Reason.ABORTED), str(error))

"""`glasses link`: pairs with glasses that speak our protocol, shows live counters, updates their firmware."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from firmware_bridge import errors as wire
from firmware_bridge import image as images
from firmware_bridge import security
from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.states import Config
from firmware_bridge.transport import BAUD, check_address, open_transport
from glasses.commands import link_keys, old_names, preflight
from glasses.commands.link_monitor import LinkReporter, figures, monitor
from glasses.devices.link_errors import as_runtime_error
from glasses.errors import InputError, LinkError, Reason
from glasses.system.event_loop import run_until_signal

_EXAMPLE = """\
examples:
  glasses link show /dev/ttyACM0                what answers there, and what it can do
  glasses link pair /dev/ttyACM0                type the code that the glasses show; kept for the next time
  glasses link show /dev/ttyUSB0@2000000        a serial port at another speed than 1 Mbit/s
  glasses link monitor ble:Glasses              live counters: loss, retries, round trip, clock, throughput
  glasses link monitor 192.168.4.1:7700 --json --seconds 5    the same as lines of JSON, one a second
  glasses link update /dev/ttyACM0 firmware.img    install a signed firmware image
"""
_ADDRESS = f"/dev/ttyACM0 (at {BAUD} bit/s, or /dev/ttyACM0@BAUD), HOST:PORT or ble:NAME"
_VERBS = ("show", "pair", "monitor", "update")
_CONNECT_S = 20.0
MAX_IMAGE_BYTES = 16 << 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `link`."""
    parser = subparsers.add_parser(
        "link",
        description="Connect to glasses over serial, TCP or Bluetooth LE.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", metavar="|".join(_VERBS), help="what to do there; `monitor` runs until Ctrl-C")
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help=_ADDRESS)
    parser.add_argument("image", nargs="?", type=Path, metavar="IMAGE", help="for `update`: a signed firmware image")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after that long (with monitor)")
    how: dict[str, Any] = {"type": Path, "metavar": "DIR"}
    parser.add_argument("--key-dir", **how, help="keys of paired glasses (default: ~/.config/glasses/links)")
    old_names.add_option(parser, "--keys", "--key-dir", **how)
    for verb in ("pair", "monitor"):
        old_names.add_option(parser, f"--{verb}", f"`glasses link {verb} ADDRESS`", dest=verb, action="store_true")
    old_names.add_option(parser, "--update", "`glasses link update ADDRESS IMAGE`", dest="update", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.set_defaults(run=run, pair=False, monitor=False, update=None)


def run(args: argparse.Namespace) -> int:
    """One connection. Raises LinkError, InputError."""
    _apply_verb(args)
    if args.seconds is not None and not (math.isfinite(args.seconds) and args.seconds > 0):
        raise InputError(Reason.BAD_INPUT, f"--seconds {args.seconds:g}: how long to measure, above 0")
    key_path = link_keys.path_of(args.key_dir or link_keys.folder(), args.address)
    try:
        check_address(args.address)
        image = _image(args.update) if args.update else None  # a bad file must not cost a connection
        if args.pair:
            preflight.later_folder("--key-dir", key_path.parent)
        key = _typed_key() if args.pair else link_keys.read(key_path)
        run_until_signal(_run(args, key, key_path, image))
    except wire.LinkError as error:
        raise as_runtime_error(error) from error
    return 0


def _apply_verb(args: argparse.Namespace) -> None:
    """Sets `pair`, `monitor` and `update` by the verb. Without one the first word is an address, as in version 0.1."""
    if args.verb not in _VERBS:
        if args.address is not None:
            raise InputError(Reason.BAD_INPUT, f"link {args.verb}: none of {', '.join(_VERBS)}")
        args.verb, args.address = "show", args.verb
        if not (args.pair or args.monitor or args.update):
            old_names.say("glasses link ADDRESS", "`glasses link show ADDRESS`")
        return
    if args.address is None:
        raise InputError(Reason.BAD_INPUT, f"{args.verb} needs the ADDRESS of the glasses: {_ADDRESS}")
    if (args.verb == "update") != (args.image is not None):
        raise InputError(Reason.BAD_INPUT, "an IMAGE goes with update, and update with an IMAGE")
    args.pair, args.monitor, args.update = args.verb == "pair", args.verb == "monitor", args.image


async def _run(args: argparse.Namespace, key: bytes | None, key_path: Path, image: bytes | None) -> None:
    reporter = LinkReporter(as_json=args.json)
    device = ReferenceGlasses(partial(open_transport, args.address), Config(key=key), on_change=reporter)
    try:
        await device.connect(_CONNECT_S)
        if args.pair and key:
            link_keys.keep(key_path, key)  # only now: a mistyped code must not cost the key that was kept before
            print(f"paired; the key is kept in {key_path}", file=sys.stderr)
        if image is not None:
            await _update(device, image, args.json)
        elif args.monitor:
            await monitor(device, reporter, args.seconds, as_json=args.json)
        else:
            await asyncio.sleep(args.seconds or 1.0)
            _print(device, args.json)
    finally:
        await device.close()


def _print(device: ReferenceGlasses, as_json: bool) -> None:
    able = device.capabilities
    said = {
        "device": able.product,
        "firmware": ".".join(str(part) for part in device.info["firmware_version"]),
        "slot": device.info["slot"],
        "confirmed": bool(device.info["confirmed"]),
        "battery_percent": device.info.get("battery_percent"),
        "abilities": sorted(able.abilities),
    }
    if as_json:
        print(json.dumps(said | {"link": figures(device)}))
        return
    for name, value in said.items():
        print(f"{name:16} {', '.join(value) if isinstance(value, list) else value}")


def _image(path: Path) -> bytes:
    """Reads a firmware image and checks its hash; the device checks the signature.

    Raises InputError: TOO_LARGE, NOT_FOUND, CORRUPT.
    """
    try:
        if path.stat().st_size > MAX_IMAGE_BYTES:
            raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_IMAGE_BYTES >> 20} MB, so no firmware image")
        image = path.read_bytes()
        images.hash_of(image)
    except OSError as error:
        raise InputError(Reason.NOT_FOUND, f"{path}: {error.strerror}") from error
    except wire.LinkError as error:
        raise InputError(Reason.CORRUPT, f"{path}: {error}; nothing was changed") from error
    return image


async def _update(device: ReferenceGlasses, image: bytes, as_json: bool) -> None:
    try:
        from firmware_bridge.smp import Updater  # noqa: PLC0415 - extra `update`: nobody else needs smpclient
    except ImportError as error:
        raise LinkError(
            Reason.NOT_INSTALLED, "firmware update needs, from the checkout: pip install -e '.[update]'"
        ) from error
    device.capabilities.require("update")
    updater = Updater(device)
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("upload", total=len(image))
        digest = await updater.upload(image, lambda written: progress.update(task, completed=written))
    await updater.try_once(digest)
    print("restarting into it, on trial", file=sys.stderr)
    await device.wait_dropped()
    await device.connect(_CONNECT_S)
    (runs,) = [slot for slot in await updater.slots() if slot["active"]]
    if runs["hash"] != digest:
        raise LinkError(Reason.ABORTED, "the new firmware did not start; the old one runs")
    await updater.confirm()  # it boots and its link works: that is what an update must not break
    said = {"updated": runs["version"], "slot": runs["slot"]}
    print(json.dumps(said) if as_json else f"updated: {runs['version']} in slot {runs['slot']}")


def _typed_key() -> bytes:
    prompt = "the code that the glasses show: "
    code = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline(100)
    return security.key_of(code)

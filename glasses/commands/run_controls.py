"""How a running `glasses run` is controlled: signals, keys, faults to inject, a time to stop, the process file."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from glasses.assistant.assistant import Assistant
from glasses.assistant.fault_injection import INJECTED
from glasses.commands.run_services import RunServices
from glasses.system.process_file import WIPE, ProcessFile
from glasses.types import Button, Press

INJECT_AFTER_S = 8.0  # of running: devices are no longer taken for starting ones
KEYS: dict[str, Press] = {"": "tap", "t": "tap", "l": "long_press", "r": "double_tap"}
HELP = "keys, each with Enter: nothing or t touch, l look at this, r what was that, m mute, w forget everything, q quit"
_LINE = 1024  # bytes of a line: a terminal gives no more than 4,096 at once, and no key is longer


@dataclass(frozen=True, slots=True)
class Running:
    """What the controls act on; `wipe` forgets the memory, `note` tells whoever watches."""

    live: Assistant
    beside: RunServices
    wipe: Callable[[], None]
    note: Callable[[str], None]

    def touch(self, press: Press) -> None:
        """As if the wearer had touched the glasses now."""
        self.live.events.put(Button(time.monotonic_ns(), press))


def _inject(fault: str, on: Running) -> None:
    on.note(f"injected: {fault}")
    INJECTED[fault](on)


def controls(args: argparse.Namespace, on: Running, stack: ExitStack) -> None:
    """Signals, keys, and what was asked to happen later; until the stack closes.

    Raises InputError where this process cannot be made findable for `glasses wipe`.
    """
    process_file = ProcessFile()
    stack.enter_context(_signals(on, process_file))
    stack.enter_context(process_file.published())
    if args.inject:
        _later(INJECT_AFTER_S, lambda: _inject(args.inject, on), stack)
    if args.seconds:
        _later(args.seconds, on.live.stop, stack)
    if sys.stdin is not None and sys.stdin.isatty():
        stack.enter_context(_keyboard(on))


@contextmanager
def _signals(on: Running, process_file: ProcessFile) -> Iterator[None]:
    """The handlers before come back afterwards."""
    handlers: dict[int, Callable[..., None]] = {
        signal.SIGUSR1: lambda *_: on.touch("tap"),
        signal.SIGUSR2: lambda *_: on.touch("long_press"),
        signal.SIGRTMIN + 1: lambda *_: on.touch("double_tap"),
        # Not in the handler itself: what it interrupts may hold the memory's lock.
        WIPE: lambda *_: threading.Thread(target=_wipe, args=(on, process_file), daemon=True).start(),
        signal.SIGINT: lambda *_: on.live.stop(),
        signal.SIGTERM: lambda *_: on.live.stop(),
    }
    before: dict[int, Any] = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wipe(on: Running, process_file: ProcessFile) -> None:
    asked_ns = time.monotonic_ns()
    on.wipe()
    process_file.confirm_wipe(asked_ns)


def _later(seconds: float, action: Callable[[], None], stack: ExitStack) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    stack.callback(timer.cancel)


@contextmanager
def _keyboard(on: Running) -> Iterator[None]:
    """Reads keys beside; afterwards nobody does, and nobody holds on to what a key acts on."""
    ended, end = os.pipe()
    reader = threading.Thread(target=_keys, args=(on, sys.stdin.fileno(), ended), name="keys")
    reader.start()
    try:
        on.note(HELP)
        yield
    finally:
        os.close(end)
        reader.join()
        os.close(ended)


def _keys(on: Running, terminal: int, ended: int) -> None:
    """Line by line until the terminal ends, or the other end of `ended` is closed."""
    held = b""
    while ended not in select.select([terminal, ended], [], [])[0]:
        try:
            read = os.read(terminal, _LINE)
        except OSError:  # the terminal was closed
            return
        if not read:
            return
        *lines, held = (held[-_LINE:] + read).split(b"\n")
        for line in lines:
            _key(on, line.decode(errors="replace").strip().lower())


def _key(on: Running, key: str) -> None:
    if key in KEYS:
        on.touch(KEYS[key])
    elif key == "m":
        on.live.mute(not on.live.muted)
    elif key == "w":
        on.wipe()
    elif key == "q":
        on.live.stop()
    else:
        on.note(HELP)

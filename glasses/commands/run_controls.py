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
from glasses.assistant.fault_injection import INJECTED, FaultHooks
from glasses.system.ending import ENDING
from glasses.system.process_file import WIPE, ProcessFile
from glasses.system.supervised import SupervisedThread
from glasses.types import Button, Press

INJECT_AFTER_S = 8.0  # of running: devices are no longer taken for starting ones
KEYS: dict[str, Press] = {"": "tap", "t": "tap", "l": "long_press", "r": "double_tap"}
HELP = "keys, each with Enter: nothing or t touch, l look at this, r what was that, m mute, w forget everything, q quit"
MUTED = "muted: nothing is heard and no touch counts; m and Enter opens the microphone again"
_LINE = 1024  # bytes of a line: a terminal gives no more than 4,096 at once, and no key is longer


@dataclass(frozen=True, slots=True)
class Controlled:
    """What the controls act on; `note` tells a sentence to whoever reads the screen."""

    assistant: Assistant
    faults: FaultHooks
    note: Callable[[str], None]

    def touch(self, press: Press) -> None:
        """As if the wearer had touched the glasses now."""
        self.assistant.events.put(Button(time.monotonic_ns(), press))

    def inject(self, fault: str) -> None:
        """Makes one of INJECTED happen."""
        self.note(f"injected: {fault}")
        INJECTED[fault](self.assistant, self.faults)


def controls(args: argparse.Namespace, on: Controlled, stack: ExitStack) -> None:
    """Signals, keys, and what was asked to happen later; until the stack closes.

    Raises InputError where this process cannot be made findable for `glasses wipe`.
    """
    process_file = ProcessFile()
    stack.enter_context(_signals(on, process_file))
    stack.enter_context(process_file.published())
    if args.inject:
        _later(INJECT_AFTER_S, lambda: on.inject(args.inject), stack)
    if args.seconds:
        _later(args.seconds, on.assistant.stop, stack)
    if sys.stdin is not None and sys.stdin.isatty():
        stack.enter_context(_keyboard(on))


@contextmanager
def _signals(on: Controlled, process_file: ProcessFile) -> Iterator[None]:
    """The handlers before come back afterwards. Raises KeyboardInterrupt then where Ctrl-C came, as in other commands;
    TERM and HUP end it as `q` does. A second Ctrl-C does not wait until it has ended in order.
    """
    interrupted: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        if interrupted and callable(before[number]):
            before[number](number, frame)
        interrupted.append(number)
        on.assistant.stop()

    handlers: dict[int, Callable[..., object]] = {
        signal.SIGUSR1: lambda *_: on.touch("tap"),
        signal.SIGUSR2: lambda *_: on.touch("long_press"),
        signal.SIGRTMIN + 1: lambda *_: on.touch("double_tap"),
        # Not in the handler itself: what it interrupts may hold the memory's lock.
        WIPE: lambda *_: SupervisedThread(lambda: _wipe(on, process_file), "wipe").start(),
        signal.SIGINT: interrupt,
        signal.SIGTERM: lambda *_: on.assistant.stop(),
        signal.SIGHUP: lambda *_: on.assistant.stop(),
    }
    before: dict[int, Any] = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if number not in ENDING or signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupted:
        raise KeyboardInterrupt  # it ends in order, and the exit code says why


def _wipe(on: Controlled, process_file: ProcessFile) -> None:
    asked_ns = time.monotonic_ns()
    on.assistant.wipe()
    process_file.confirm_wipe(asked_ns)


def _later(seconds: float, action: Callable[[], None], stack: ExitStack) -> None:
    cancelled = threading.Event()

    def wait() -> None:
        if not cancelled.wait(seconds):
            action()

    thread = SupervisedThread(wait, "timer").start()
    stack.callback(thread.close)
    stack.callback(cancelled.set)


@contextmanager
def _keyboard(on: Controlled) -> Iterator[None]:
    """Reads keys on a thread of its own; afterwards nobody does, and nobody holds on to what a key acts on."""
    ended, end = os.pipe()
    terminal = sys.stdin.fileno()
    reader = SupervisedThread(lambda: _keys(on, terminal, ended), "keys").start()
    try:
        on.note(HELP)
        yield
    finally:
        os.close(end)
        reader.close(None)
        os.close(ended)


def _keys(on: Controlled, terminal: int, ended: int) -> None:
    """Line by line until the terminal ends, or the other end of `ended` is closed."""
    held = b""
    while ended not in select.select([terminal, ended], [], [])[0]:
        try:
            read = os.read(terminal, _LINE)
        except OSError:  # the terminal was closed
            return
        if not read:
            if os.isatty(terminal):  # Ctrl-D; a terminal that hung up is none any more, and under nohup it all goes on
                on.assistant.stop()
            return
        *lines, held = (held[-_LINE:] + read).split(b"\n")
        for line in lines:
            _key(on, line.decode(errors="replace").strip().lower())


def _key(on: Controlled, key: str) -> None:
    if key in KEYS:
        opens = on.assistant.announcements.is_active or on.assistant.opens_by_touch
        if on.assistant.muted and not opens:
            on.note(MUTED)
            return
        on.touch(KEYS[key])
    elif key == "m":
        on.assistant.mute(not on.assistant.muted)
    elif key == "w":
        on.assistant.wipe()
    elif key == "q":
        on.assistant.stop()
    else:
        on.note(HELP)

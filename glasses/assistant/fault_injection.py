"""Faults that `glasses bench faults` and the tests make happen in a running assistant, as a device or a bug would."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from glasses.assistant.assistant import Assistant
from glasses.system.governor import Reading

_TOO_HOT_C, _BATTERY_LOW, _FREE_MB = 200.0, 8.0, 60.0  # all is shed; camera and radio; the camera


class Board(Protocol):
    """Whoever reads the board for the governor."""

    read: Callable[[int], Reading]


class Injectable(Protocol):
    """A running assistant with the reader of its board."""

    @property
    def live(self) -> Assistant: ...
    @property
    def beside(self) -> Board: ...


def _microphone_gone(on: Injectable) -> None:
    if on.live.microphone:
        on.live.microphone.close()


def _speaker_gone(on: Injectable) -> None:
    if on.live.speaker:
        on.live.speaker.close()


def _reads(board: Reading) -> Callable[[Injectable], None]:
    """The board says this from now on."""

    def inject(on: Injectable) -> None:
        on.beside.read = lambda t_ns: replace(board, t_ns=t_ns)

    return inject


def _stopped(on: Injectable) -> None:
    """SIGSTOP to ourselves for three seconds, as a card that does not answer a page fault would have it."""
    del on
    if os.fork() == 0:
        time.sleep(3)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)


# What --inject does to a running spine: the real thing, as a device or a bug would.
INJECTED: dict[str, Callable[[Injectable], None]] = {
    "microphone-gone": _microphone_gone,
    "speaker-gone": _speaker_gone,
    "ear-hangs": lambda on: on.live.hang("ear"),
    "mouth-hangs": lambda on: on.live.hang("mouth"),
    "too-hot": _reads(Reading(0, heat_c=_TOO_HOT_C)),
    "battery-low": _reads(Reading(0, battery_percent=_BATTERY_LOW)),
    "memory-short": _reads(Reading(0, free_mb=_FREE_MB)),
    "stopped": _stopped,
}

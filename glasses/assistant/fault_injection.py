"""Faults that `glasses bench faults` and the tests make happen in a running assistant, as a device or a bug would.

The product has no hooks for them: FaultHooks stands between the assistant and what it is built with.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from glasses.assistant.assistant import Assistant
from glasses.system.governor import Reading

_TOO_HOT_C, _BATTERY_LOW, _FREE_MB = 200.0, 8.0, 60.0  # all is shed; camera and radio; the camera


class FaultHooks:
    """`progress` and `read_board` as they are, until a fault is injected."""

    def __init__(self, progress: Callable[[str], None], read_board: Callable[[int], Reading]) -> None:
        self._progress, self._read_board = progress, read_board
        self._hung_stage = ""
        self._reading: Reading | None = None

    def progress(self, stage: str) -> None:
        """Passes progress on; never returns in a stage that was told to hang."""
        while stage == self._hung_stage:
            time.sleep(1)
        self._progress(stage)

    def read_board(self, t_ns: int) -> Reading:
        """The board's own reading, or the injected one."""
        return replace(self._reading, t_ns=t_ns) if self._reading else self._read_board(t_ns)

    def hang(self, stage: str) -> None:
        """From now on "listener" or "responder" makes no progress."""
        self._hung_stage = stage

    def board_says(self, reading: Reading) -> None:
        """The board says this from now on."""
        self._reading = reading


def _close_microphone(assistant: Assistant, hooks: FaultHooks) -> None:
    del hooks
    if assistant.devices.microphone:
        assistant.devices.microphone.close()


def _close_speaker(assistant: Assistant, hooks: FaultHooks) -> None:
    del hooks
    if assistant.devices.speaker:
        assistant.devices.speaker.close()


def _stop_process(assistant: Assistant, hooks: FaultHooks) -> None:
    """SIGSTOP to this process for three seconds, as a card that does not answer a page fault would have it."""
    del assistant, hooks
    if os.fork() == 0:
        time.sleep(3)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)


INJECTED: dict[str, Callable[[Assistant, FaultHooks], None]] = {
    "microphone-gone": _close_microphone,
    "speaker-gone": _close_speaker,
    "listener-hangs": lambda assistant, hooks: hooks.hang("listener"),
    "responder-hangs": lambda assistant, hooks: hooks.hang("responder"),
    "too-hot": lambda assistant, hooks: hooks.board_says(Reading(0, heat_c=_TOO_HOT_C)),
    "battery-low": lambda assistant, hooks: hooks.board_says(Reading(0, battery_percent=_BATTERY_LOW)),
    "memory-short": lambda assistant, hooks: hooks.board_says(Reading(0, free_mb=_FREE_MB)),
    "stopped": _stop_process,
}

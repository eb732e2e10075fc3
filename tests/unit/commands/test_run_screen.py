"""What a person reads and types at `glasses run`, at a real terminal; and that nothing stays behind it."""

from __future__ import annotations

import argparse
import gc
import os
import threading
import time
import weakref
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from glasses.commands.run_controls import HELP, controls
from glasses.commands.run_screen import Screen
from glasses.events import ReplyState, TurnEvent, TurnSignal
from glasses.types import DeviceChange


class Worn:
    """Counts what keys do, in the place of a running spine."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.live = SimpleNamespace(muted=False, mute=lambda muted: self.did.append(f"mute {muted}"), stop=self._stop)

    def _stop(self) -> None:
        self.did.append("stop")

    def touch(self, press: str) -> None:
        self.did.append(press)

    def wipe(self) -> None:
        self.did.append("wipe")

    def note(self, text: str) -> None:
        self.did.append(text)


def test_keys_act_and_afterwards_nobody_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, terminal = os.openpty()
    try:
        with os.fdopen(terminal, "r") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            on: Any = Worn()
            did, gone = on.did, weakref.ref(on)
            with ExitStack() as stack:
                controls(argparse.Namespace(inject=None, seconds=None), on, stack)
                os.write(keyboard, b"\nl\nr\nm\nw\nhello\n\xff\nq\n")
                until_s = time.monotonic() + 10
                while "stop" not in did and time.monotonic() < until_s:
                    time.sleep(0.01)
            assert did == [HELP, "tap", "long_press", "double_tap", "mute True", "wipe", HELP, HELP, "stop"]
            assert "keys" not in [thread.name for thread in threading.enumerate()]
            del on, stack
            gc.collect()
            assert gone() is None
    finally:
        os.close(keyboard)


def test_an_answer_stands_on_lines_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    screen.saw(TurnSignal(TurnEvent.TURN_STARTED, 1, 1))
    screen.text("The capital of France ")
    screen.saw(ReplyState(2, 1, "audible"))
    screen.text("is Paris.")
    screen.saw(TurnSignal(TurnEvent.BARGE_IN_PENDING, 3, 1))
    screen.saw(TurnSignal(TurnEvent.INTERRUPTED, 4, 1))
    screen.saw(DeviceChange(5, "disconnected"))
    screen.saw(DeviceChange(5, "disconnected", "the camera gives no picture"))
    screen.saw(TurnSignal(TurnEvent.NOT_ADDRESSED, 6, 2))
    screen.note("dashboard: http://127.0.0.1:8766/")
    assert capsys.readouterr().out == (
        "[listening to you]\nThe capital of France is Paris.\n[interrupted]\n[microphone or speaker gone]\n"
        "[the camera gives no picture]\n[ignored: not addressed to the assistant]\n"
        "dashboard: http://127.0.0.1:8766/\n"
    )


def test_a_turn_that_muting_drops_is_not_called_late(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    for what in (
        DeviceChange(1, "muted"),
        TurnSignal(TurnEvent.TIMED_OUT, 2, 1),
        DeviceChange(3, "unmuted"),
        TurnSignal(TurnEvent.TIMED_OUT, 4, 2),
    ):
        screen.saw(what)
    assert capsys.readouterr().out.splitlines() == ["[muted]", "[listening again]", "[timed out]"]

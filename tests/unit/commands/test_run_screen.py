"""What a person reads and types at `glasses run`, at a real terminal; and that nothing remains afterwards."""

from __future__ import annotations

import argparse
import gc
import json
import os
import threading
import time
import weakref
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from glasses.assistant.observers import EventsDropped
from glasses.commands.run_controls import HELP, MUTED, controls
from glasses.commands.run_screen import Notice, Screen, write_stdout
from glasses.events import Announced, ReplyState, ReplyText, TurnEvent, TurnSignal
from glasses.types import DeviceChange, Wiped


class Controlled:
    """Counts what keys do, in the place of a running assistant."""

    def __init__(self, *, muted: bool = False, microphone: str | None = "mic", rings: bool = False) -> None:
        self.did: list[str] = []
        self.assistant = SimpleNamespace(
            muted=muted,
            opens_by_touch=False,
            devices=SimpleNamespace(microphone=microphone),
            announcements=SimpleNamespace(is_active=rings),
            mute=lambda muted: self.did.append(f"mute {muted}"),
            stop=lambda: self.did.append("stop"),
            wipe=lambda: self.did.append("wipe"),
        )

    def touch(self, press: str) -> None:
        self.did.append(press)

    def note(self, text: str) -> None:
        self.did.append(text)


def shown(*events: object, as_json: bool = False) -> str:
    """What the screen writes for these events."""
    written: list[str] = []
    screen = Screen(as_json=as_json, write=written.append)
    for event in events:
        if handler := screen.handlers.get(type(event)):
            handler(event)
    return "".join(written)


def test_controls_keys_act_and_afterwards_nobody_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, terminal = os.openpty()
    try:
        with os.fdopen(terminal, "r") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            on: Any = Controlled()
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


@pytest.mark.parametrize(
    ("on", "did"),
    [
        (Controlled(muted=True), [HELP, MUTED, "stop"]),
        (Controlled(microphone=None), [HELP, "tap", "stop"]),
    ],
)
def test_controls_touch_that_nobody_hears_says_why(on: Any, did: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, terminal = os.openpty()
    try:
        with os.fdopen(terminal, "r") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            with ExitStack() as stack:
                controls(argparse.Namespace(inject=None, seconds=None), on, stack)
                os.write(keyboard, b"t\nq\n")
                until_s = time.monotonic() + 10
                while "stop" not in on.did and time.monotonic() < until_s:
                    time.sleep(0.01)
        assert on.did == did
    finally:
        os.close(keyboard)


def test_controls_end_of_input_quits(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, terminal = os.openpty()
    try:
        with os.fdopen(terminal, "r") as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            on: Any = Controlled()
            with ExitStack() as stack:
                controls(argparse.Namespace(inject=None, seconds=None), on, stack)
                os.write(keyboard, b"\x04")
                until_s = time.monotonic() + 10
                while "stop" not in on.did and time.monotonic() < until_s:
                    time.sleep(0.01)
        assert on.did == [HELP, "stop"]
    finally:
        os.close(keyboard)


def test_screen_answer_stands_on_lines_of_its_own() -> None:
    assert shown(
        TurnSignal(TurnEvent.TURN_STARTED, 1, 1),
        ReplyText(2, "The capital of France "),
        ReplyState(2, 1, "audible"),
        ReplyText(3, "is Paris."),
        TurnSignal(TurnEvent.BARGE_IN_PENDING, 3, 1),
        TurnSignal(TurnEvent.INTERRUPTED, 4, 1),
        DeviceChange(5, "disconnected"),
        DeviceChange(5, "disconnected", "the camera gives no picture"),
        DeviceChange(5, "reconnected"),
        TurnSignal(TurnEvent.NOT_ADDRESSED, 6, 2),
        TurnSignal(TurnEvent.INTERRUPTED, 7, 2, continues_turn=True),
        Notice("note", sentence="dashboard: http://127.0.0.1:8766/"),
        Notice("stopped", {"reopened": 1, "overruns": 0, "sound_lost": 3}),
        Wiped(8, 3),
        EventsDropped(9, 12),
    ) == (
        "[listening to you]\nThe capital of France is Paris.\n[interrupted]\n[microphone or speaker gone]\n"
        "[the camera gives no picture]\n[audio devices reconnected]\n[ignored: not addressed to the assistant]\n"
        "[turn continued]\ndashboard: http://127.0.0.1:8766/\n"
        "[stopped: audio devices opened again once, sound dropped 3 times]\n[everything is forgotten]\n"
        "[12 events not shown: the output was not read]\n"
    )


def test_screen_who_was_not_answered_reads_what_to_do() -> None:
    written: list[str] = []
    screen = Screen(as_json=False, activation="button", write=written.append)
    screen.handlers[TurnSignal](TurnSignal(TurnEvent.NOT_ADDRESSED, 6, 2))
    assert written == ["[ignored: not addressed to the assistant: touch the glasses first, or t and Enter]\n"]


def test_screen_turn_that_muting_drops_is_not_called_late() -> None:
    lines = shown(
        DeviceChange(1, "muted"),
        TurnSignal(TurnEvent.TIMED_OUT, 2, 1),
        DeviceChange(3, "unmuted"),
        TurnSignal(TurnEvent.TIMED_OUT, 4, 2),
    )
    assert lines.splitlines() == ["[muted]", "[listening again]", "[timed out]"]


def test_screen_as_json_writes_one_object_for_each_event() -> None:
    lines = shown(
        TurnSignal(TurnEvent.INTERRUPTED, 1, 7, continues_turn=True),
        ReplyText(2, "not shown"),
        ReplyState(3, 7, "audible"),
        ReplyState(4, 7, "finished"),
        Notice("note", sentence="hello"),
        Wiped(5, 2),
        EventsDropped(6, 12),
        as_json=True,
    )
    told = [json.loads(line) for line in lines.splitlines()]
    for one in told:
        assert one.pop("t_ns") > 0
    assert told == [
        {"what": "interrupted", "turn": 7, "at_ns": 1, "continues_turn": True},
        {"what": "audible", "turn": 7, "at_ns": 3},
        {"what": "note", "text": "hello"},
        {"what": "wiped", "windows": 2},
        {"what": "dropped", "events": 12},
    ]


def test_write_stdout_leaves_nothing_in_pythons_buffer(capfd: pytest.CaptureFixture[str]) -> None:
    write_stdout("whole line\n")
    assert capfd.readouterr().out == "whole line\n"


def test_screen_announcement_is_a_line_as_it_begins_and_where_nobody_answered() -> None:
    begun = Announced(1, 1, "timer", "Your timer is up.", 1, "begun")
    assert shown(begun, replace(begun, state="told")) == "[timer] Your timer is up.\n"
    assert shown(replace(begun, state="missed")) == "[timer, nobody answered] Your timer is up.\n"
    line = json.loads(shown(begun, as_json=True))
    assert (line["what"], line["kind"], line["text"], line["state"]) == ("announced", "timer", begun.text, "begun")

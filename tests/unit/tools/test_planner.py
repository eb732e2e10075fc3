"""Turns that lean on the call before, and sentences that ask for several things; words stand for a turn's rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.tools import caller as callers
from glasses.tools.builtin import BUILTIN
from glasses.tools.caller import CANCELLED, ToolCaller
from glasses.tools.follow_up import follow_up_of
from glasses.tools.routines import Routine, tool_of
from glasses.tools.said import SaidWord
from glasses.tools.store import ToolStore
from glasses.tools.tool import Tool, ToolContext
from glasses.types import Float32Array

# What the chooser and the reader of a model would tell of these words.
CHOSEN: dict[str, tuple[str, dict[str, Any]]] = {
    "Set an alarm for seven.": ("set_alarm", {"when": "seven"}),
    "No, seven thirty.": ("cancel_alarm", {"when": "seven thirty"}),
    "No, purple thirty.": ("cancel_alarm", {}),
    "No, cancel that alarm.": ("cancel_alarm", {}),
    "cancel that alarm.": ("cancel_alarm", {}),
    "Which alarms are set?": ("list_alarms", {}),
    "Set a timer for five minutes.": ("set_timer", {"duration": "five minutes"}),
    "Set a timer for five minutes": ("set_timer", {"duration": "five minutes"}),
    "set a timer for five minutes.": ("set_timer", {"duration": "five minutes"}),
    "And remind me to eat at six.": ("set_reminder", {"text": "eat", "when": "six"}),
    "remind me to eat at six.": ("set_reminder", {"text": "eat", "when": "six"}),
    "Set a timer for five minutes and remind me to eat at six.": ("set_timer", {"duration": "five minutes"}),
    "Set a timer for five minutes and call my mother.": ("set_timer", {"duration": "five minutes"}),
    "call my mother.": ("unable", {}),
    "Set a timer for five minutes and tell me a joke.": ("set_timer", {"duration": "five minutes"}),
    "Set a timer for one hour and thirty minutes.": ("set_timer", {"duration": "one hour and thirty minutes"}),
    "Set a timer for one hour": ("set_timer", {"duration": "one hour"}),
    "Remind me at six to lock up and call my mother.": (
        "set_reminder", {"text": "lock up and call my mother", "when": "six"},
    ),
    "Remind me at six to lock up": ("set_reminder", {"text": "lock up", "when": "six"}),
    "Delete my notes and set a timer for five minutes.": ("forget", {"all": True}),
    "Delete my notes": ("forget", {"all": True}),
    "How many kilometres are ten miles?": ("convert", {"amount": 10.0, "unit": "miles", "to": "kilometres"}),
    "And twenty miles?": ("convert", {"amount": 20.0, "unit": "miles"}),
    "twenty miles?": ("convert", {"amount": 20.0, "unit": "miles"}),
    "What time is it?": ("time", {}),
    "Remind me to buy milk and call Anna at six.": ("set_reminder", {"text": "buy milk and call Anna", "when": "six"}),
    "Remind me to buy milk": ("set_reminder", {"text": "buy milk", "when": "two"}),
    "call Anna at six.": ("set_alarm", {"when": "six", "name": "Anna"}),
    "Set a timer for an hour and a half and set an alarm for seven.": ("set_timer", {"duration": "an hour"}),
    "Set a timer for an hour": ("set_timer", {"duration": "an hour"}),
    "a half and set an alarm for seven.": ("set_alarm", {"when": "seven"}),
    "Set a timer for an hour and a half": ("set_timer", {"duration": "an hour and a half"}),
    "set an alarm for seven.": ("set_alarm", {"when": "seven"}),
    "How do you spell tea?": ("spell", {"word": "tea"}),
    "Thursday?": ("date", {}),
    "What is five plus two and seventy one?": ("calculate", {"expression": "five plus two and seventy one"}),
    "What is five plus two and half of four?": ("calculate", {"expression": "five plus two and half of four"}),
    "What is five plus two and double two?": ("calculate", {"expression": "five plus two and double two"}),
    "What is five plus two": ("calculate", {"expression": "five plus two"}),
    "seventy one?": ("calculate", {"expression": "seventy one"}),
    "half of four?": ("calculate", {"expression": "half of four"}),
    "double two?": ("calculate", {"expression": "double two"}),
}  # fmt: skip


class Words:
    """Chooser and reader. A row is the number of a word."""

    def __init__(self) -> None:
        self._known = list[str]()

    def rows(self, text: str) -> Float32Array:
        first = len(self._known)
        self._known += text.split()
        return np.arange(first, len(self._known), dtype=np.float32)[:, None]

    def words(self, rows: Float32Array) -> list[SaidWord]:
        return [SaidWord(self._known[int(row)], i, i) for i, row in enumerate(rows[:, 0])]

    def _of(self, rows: Float32Array) -> tuple[str, dict[str, Any]] | None:
        return CHOSEN.get(" ".join(word.text for word in self.words(rows)))

    def choose(self, rows: Float32Array, names: Sequence[str], *, waiting: bool = False) -> Any:
        found = self._of(rows)
        return SimpleNamespace(name=found[0]) if found else None

    def read(self, tool: Tool, rows: Float32Array) -> dict[str, Any]:
        found = self._of(rows)
        return dict(found[1]) if found and found[0] == tool.name else {}

    def untrained(self, tools: Sequence[Tool]) -> list[Tool]:
        return []

    def train(self, tool: Tool) -> None: ...


class Talk:
    def __init__(self) -> None:
        self.now_s, self.store, self._words = 0.0, ToolStore(":memory:"), Words()
        tools = {one.name: one for one in BUILTIN}
        routine = tool_of(Routine("good night", ("set a timer for five minutes.",)))
        self.store.put_routine("good night", ("set a timer for five minutes.",))
        self.caller = ToolCaller(
            lambda: {**tools, routine.name: routine},
            self._words,
            self._words,
            ToolContext(lambda: datetime(2026, 3, 4, 10, 30), self.store),
            understand=lambda words: self.caller.plan(self._words.rows(words)),
            clock_s=lambda: self.now_s,
        )

    def says(self, words: str) -> str | None:
        call = self.caller.plan(self._words.rows(words))
        return self.caller.carry_out(call) if call else None

    @property
    def due(self) -> list[str]:
        return [f"{one.kind} {one.at:%H:%M}" for one in self.store.open_dues()]


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.mark.parametrize("words", ["No, seven thirty.", "Make it seven thirty.", "Sorry, I meant seven thirty."])
def test_correction_changes_what_was_just_made_and_says_so(talk: Talk, words: str) -> None:
    talk.says("Set an alarm for seven.")
    assert talk.says(words) == "Changed. The alarm is set, tomorrow at 7:30 in the morning."
    assert talk.due == ["alarm 07:30"]


def test_correction_goes_past_a_question_about_it(talk: Talk) -> None:
    talk.says("Set an alarm for seven.")
    talk.says("Which alarms are set?")
    talk.says("No, seven thirty.")
    assert talk.due == ["alarm 07:30"]


def test_correction_of_a_correction_changes_it_once_more(talk: Talk) -> None:
    talk.says("Set a timer for five minutes.")
    talk.says("I meant ten minutes.")
    assert talk.says("No, not ten, twelve.") == "Changed. 12 minutes, starting now."
    assert talk.due == ["timer 10:42"]


def test_turn_that_goes_on_after_a_correction_takes_that_back_alone(talk: Talk) -> None:
    talk.says("Set an alarm for seven.")
    talk.says("No, seven thirty.")
    talk.caller.undo()
    assert talk.due == ["alarm 07:00"]
    assert talk.says("No, eight.") == "Changed. The alarm is set, tomorrow at 8:00 in the morning."
    assert talk.due == ["alarm 08:00"]


@pytest.mark.parametrize("words", ["No, purple thirty.", "No, thanks.", "No."])
def test_words_that_are_no_new_argument_change_nothing(talk: Talk, words: str) -> None:
    talk.says("Set an alarm for seven.")
    talk.caller.plan(talk._words.rows(words))
    assert talk.due == ["alarm 07:00"]


@pytest.mark.parametrize("words", ["Actually, cancel it.", "Never mind.", "Undo that, please."])
def test_taking_back_undoes_the_last_act_once(talk: Talk, words: str) -> None:
    talk.says("Set a timer for five minutes.")
    talk.says("Set an alarm for seven.")
    talk.says("What time is it?")
    assert talk.says(words) == "That is undone."
    assert talk.due == ["timer 10:35"]
    assert talk.says("Never mind.") is None
    assert talk.due == ["timer 10:35"]


def test_no_before_another_request_is_that_request(talk: Talk) -> None:
    talk.says("Set an alarm for seven.")
    assert talk.says("No, cancel that alarm.") == "The alarm is cancelled."
    assert talk.due == []


def test_correction_after_a_turn_without_a_tool_or_too_late_is_none(talk: Talk) -> None:
    talk.says("Set a timer for five minutes.")
    talk.caller.talked()
    assert talk.says("I meant ten minutes.") is None
    assert talk.says("Actually, cancel it.") == "That is undone."
    talk.says("Set a timer for five minutes.")
    talk.now_s = callers.FOLLOW_S + 1
    assert talk.says("I meant ten minutes.") is None


def test_same_again_replaces_one_argument_and_takes_nothing_back(talk: Talk) -> None:
    talk.says("How many kilometres are ten miles?")
    assert talk.says("And twenty miles?") == "20 miles are 32.1869 kilometres."
    assert talk.says("What about fifty?") == "50 miles are 80.4672 kilometres."
    talk.says("Set a timer for five minutes.")
    talk.says("And ten minutes?")
    assert talk.due == ["timer 10:35", "timer 10:40"]


def test_and_before_another_request_is_that_request(talk: Talk) -> None:
    talk.says("Set an alarm for seven.")
    talk.says("And remind me to eat at six.")
    assert talk.due == ["reminder 18:00", "alarm 07:00"]


def test_place_may_be_replaced_where_a_request_of_its_own_may_not(talk: Talk) -> None:
    talk.says("What time is it?")
    assert str(talk.says("And in Tokyo?")).startswith("In Tokyo it is")
    talk.says("How do you spell tea?")
    assert talk.says("What about Thursday?") == "Thursday: T, H, U, R, S, D, A, Y."
    talk.says("What time is it?")
    assert talk.says("And you?") is None
    assert talk.says("And what is love?") is None


@pytest.mark.parametrize(
    ("words", "said", "due"),
    [
        (
            "Set a timer for five minutes and remind me to eat at six.",
            "5 minutes, starting now. I will remind you at 6:00 in the evening: eat.",
            ["timer 10:35", "reminder 18:00"],
        ),
        (
            "Set a timer for five minutes and call my mother.",
            "5 minutes, starting now. I cannot do this: call my mother.",
            ["timer 10:35"],
        ),
        (
            "Set a timer for five minutes and tell me a joke.",
            "5 minutes, starting now. I left this out: tell me a joke.",
            ["timer 10:35"],
        ),
        ("What is five plus two and seventy one?", "78.", []),
        ("What is five plus two and half of four?", "9.", []),
        ("What is five plus two and double two?", "11.", []),
        (
            "Remind me to buy milk and call Anna at six.",
            "I will remind you at 6:00 in the evening: buy milk and call Anna.",
            ["reminder 18:00"],
        ),
        (
            "Set a timer for an hour and a half and set an alarm for seven.",
            "1 hour and 30 minutes, starting now. The alarm is set, tomorrow at 7:00 in the morning.",
            ["timer 12:00", "alarm 07:00"],
        ),
        (
            "Set a timer for one hour and thirty minutes.",
            "1 hour and 30 minutes, starting now.",
            ["timer 12:00"],
        ),
        (
            "Remind me at six to lock up and call my mother.",
            "I will remind you at 6:00 in the evening: lock up and call my mother.",
            ["reminder 18:00"],
        ),
    ],
)
def test_sentence_with_and_is_one_request_or_two(talk: Talk, words: str, said: str, due: list[str]) -> None:
    assert talk.says(words) == said
    assert talk.due == due


def test_correction_after_two_requests_changes_the_one_that_it_fits(talk: Talk) -> None:
    talk.says("Set a timer for five minutes and remind me to eat at six.")
    talk.says("I meant ten minutes.")
    assert talk.due == ["timer 10:40", "reminder 18:00"]
    talk.caller.undo()
    assert talk.due == ["timer 10:35", "reminder 18:00"]


def test_two_requests_of_a_turn_that_goes_on_are_both_taken_back(talk: Talk) -> None:
    talk.says("Set a timer for five minutes and remind me to eat at six.")
    talk.caller.undo()
    assert talk.due == []


def test_question_of_one_of_two_requests_waits_until_the_other_is_done(talk: Talk) -> None:
    talk.store.add_note("milk", datetime(2026, 3, 4))
    said = talk.says("Delete my notes and set a timer for five minutes.")
    assert said == "5 minutes, starting now. Forget all notes: shall I?"
    CHOSEN["No."] = ("decline", {})
    try:
        assert talk.says("No.") == CANCELLED
    finally:
        del CHOSEN["No."]


def test_phrase_of_a_routine_is_that_routine_whatever_the_chooser_says(talk: Talk) -> None:
    assert talk.says("Good night!") == "5 minutes, starting now."


def test_follow_up_of_words_that_begin_as_none_is_none() -> None:
    for words in ("Set a timer.", "No", "Notes, please.", "Android is good.", ""):
        assert follow_up_of([SaidWord(word, i, i) for i, word in enumerate(words.split())]) is None

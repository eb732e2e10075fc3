"""What the HUD shows, and when it is cleared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glasses.assistant.hud_text import HudText
from glasses.assistant.observers import Idle
from glasses.events import Announced, Draft, Outcome, Reply, ReplyText, ShowText, TurnEvent, TurnSignal
from glasses.types import DeviceChange, Turn, Wiped

DRAFT = Draft(Turn(3, 0, "tap", ("hello",)), np.zeros((4, 8), np.float32), True, True, False, (0, 0))


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Hud:
    """A HudText on a clock of the test, and the texts on two displays."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.glasses: list[str] = []
        self.page: list[str] = []
        self.text = HudText([self.glasses.append, self.page.append], clear_after_s=8.0, clock=self.clock)

    def give(self, *events: object) -> list[str]:
        """The texts that these events showed; the same on both displays."""
        before = len(self.glasses)
        for event in events:
            self.text.handlers[type(event)](event)
        assert self.glasses == self.page
        return self.glasses[before:]

    def wait(self, seconds: float) -> list[str]:
        self.clock.now_s += seconds
        return self.give(Idle(0))


def reply(outcome: Outcome, audible_ns: int | None = 1) -> Reply:
    return Reply(DRAFT, 1, outcome=outcome, audible_ns=audible_ns)


def test_hud_text_of_a_reply_grows_and_is_cleared_after_it_was_said() -> None:
    """It stays for some seconds."""
    hud = Hud()
    assert hud.give(ReplyText(1, "It is "), ReplyText(2, "Paris.")) == ["It is ", "It is Paris."]
    assert hud.wait(60) == [], "it is still being said"
    assert hud.give(reply(Outcome.COMPLETED)) == []
    assert hud.wait(7.9) == []
    assert hud.wait(0.2) == [""]
    assert hud.wait(60) == []


def test_hud_text_that_was_not_said_stays_until_it_is_read() -> None:
    hud = Hud()
    hud.give(ReplyText(1, "one two three four five six"), reply(Outcome.COMPLETED, audible_ns=None))
    assert hud.wait(9.5) == []
    assert hud.wait(1) == [""]


@pytest.mark.parametrize(
    "event",
    [
        TurnSignal(TurnEvent.TURN_STARTED, 1, 4),
        TurnSignal(TurnEvent.INTERRUPTED, 1, 4),
        TurnSignal(TurnEvent.TIMED_OUT, 1, 3),
        TurnSignal(TurnEvent.NOT_ADDRESSED, 1, 3),
        Wiped(1),
        reply(Outcome.TIMED_OUT),
    ],
)
def test_hud_text_is_cleared_at_a_new_turn_and_when_wiped(event: object) -> None:
    hud = Hud()
    hud.give(ReplyText(1, "Paris."))
    assert hud.give(event) == [""]
    assert hud.give(event) == [], "it is blank already"


@pytest.mark.parametrize(
    "event",
    [
        TurnSignal(TurnEvent.SPEECH_RESUMED, 1, 3),
        TurnSignal(TurnEvent.BARGE_IN_PENDING, 1, 3),
        TurnSignal(TurnEvent.BARGE_IN_REJECTED, 1, 3),
        DeviceChange(1, "disconnected"),
        DeviceChange(1, "unmuted"),
    ],
)
def test_hud_text_is_not_cleared_by_a_pause_or_a_rejected_barge_in(event: object) -> None:
    hud = Hud()
    hud.give(ReplyText(1, "Paris."))
    assert hud.give(event) == []
    assert hud.give(ReplyText(2, " France.")) == ["Paris. France."]


def test_hud_text_muted_says_so_for_some_seconds_in_place_of_a_reply() -> None:
    hud = Hud()
    hud.give(ReplyText(1, "Paris."))
    assert hud.give(DeviceChange(1, "muted")) == ["muted"]
    assert hud.give(DeviceChange(2, "unmuted")) == [""]


def test_hud_text_of_the_next_reply_replaces_the_last_one() -> None:
    hud = Hud()
    hud.give(ReplyText(1, "Paris."), reply(Outcome.COMPLETED))
    assert hud.give(ReplyText(2, "Rome.")) == ["Rome."]
    assert hud.wait(60) == []


def test_hud_text_of_an_announcement_is_cleared_after_it_unless_nobody_answered() -> None:
    hud, begun = Hud(), Announced(1, 1, "alarm", "It is noon.", 1, "begun")
    assert hud.give(begun) == ["It is noon."]
    assert hud.give(replace(begun, state="told")) == []
    assert hud.wait(20) == [""]
    hud.give(begun)
    hud.give(replace(begun, state="missed"))
    assert hud.wait(3600) == []
    assert hud.give(TurnSignal(TurnEvent.TURN_STARTED, 0, 1)) == [""]


def test_hud_text_of_an_alarm_that_was_answered_is_cleared_at_once() -> None:
    hud, begun = Hud(), Announced(1, 1, "alarm", "It is noon.", 1, "begun")
    hud.give(begun)
    assert hud.give(replace(begun, state="answered")) == [""]


def test_hud_text_to_read_is_shown_for_a_while() -> None:
    hud = Hud()
    assert hud.give(ShowText(1, "one two three")) == ["one two three"]
    assert hud.wait(8.9) == []
    assert hud.wait(0.2) == [""]


def test_hud_text_to_read_comes_again_after_the_reply_that_followed_it() -> None:
    hud = Hud()
    assert hud.give(ShowText(1, "all of it"), ReplyText(2, "It.")) == ["all of it", "It."]
    assert hud.give(reply(Outcome.COMPLETED)) == ["all of it"]
    assert hud.wait(10) == [""]
    assert hud.give(ReplyText(3, "Yes."), reply(Outcome.COMPLETED)) == ["Yes."]


def test_hud_text_to_read_waits_for_a_reply_and_goes_with_a_new_turn() -> None:
    hud = Hud()
    assert hud.give(ReplyText(1, "It is"), ShowText(2, "more")) == ["It is"]
    assert hud.give(TurnSignal(TurnEvent.TURN_STARTED, 1, 4)) == [""]
    assert hud.give(ReplyText(3, "Yes."), reply(Outcome.COMPLETED)) == ["Yes."]

"""When the listening thread lets an announcement begin, and what a touch means for one."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from glasses.assistant.announcement_turns import AnnouncementTurns
from glasses.assistant.announcements import QUIET_S, Announcement, Announcements
from glasses.assistant.inbox import Announce
from glasses.events import Announced, ReplyState, TurnEvent, TurnSignal
from glasses.types import NS_PER_S, Button

QUIET_NS = round(QUIET_S * NS_PER_S)
TOUCH = Button(5, "tap")


class Room:
    """A listener that hears what the test says, and what came of it."""

    def __init__(self) -> None:
        self.listener = SimpleNamespace(hears_speech=False, is_idle=True, turn_id=4, feed=lambda event: [])
        self.said, self.told = list[Announce](), list[Any]()
        self.announcements = Announcements(ring_pause_s=1000)
        listener: Any = self.listener
        self.turns = AnnouncementTurns(self.announcements, listener, publish=self.told.append, say=self.said.append)
        self.now_ns = time.monotonic_ns() + 10 * NS_PER_S

    def step(self, *, muted: bool = False) -> int:
        self.turns.step(self.now_ns, muted=muted)
        self.now_ns += QUIET_NS // 2
        return len(self.said)


def test_step_waits_for_the_end_of_speech_and_of_a_reply() -> None:
    room = Room()
    room.listener.is_idle = False
    assert room.step() == 0
    room.announcements.say("done")
    room.announcements._waiting[0].since_ns = room.now_ns
    assert room.step() == 0
    room.listener.is_idle = True
    room.turns.take(ReplyState(0, 4, "finished"), room.now_ns)
    assert room.step() == room.step() == 0
    assert room.step() == 1
    assert room.said[0].text == "done"


def test_step_muted_hears_nobody_and_speaks() -> None:
    room = Room()
    room.announcements.say("done")
    room.listener.hears_speech = True  # as it was when the microphone was closed
    assert room.step(muted=True) == 1


def test_step_sound_follows_a_reply_without_a_pause() -> None:
    room = Room()
    room.listener.is_idle = False
    room.step()
    room.announcements.add(Announcement("sound", lambda: "dog", at_once=True))
    room.listener.is_idle = True
    assert room.step() == 1


def test_touched_while_it_is_said_interrupts_and_between_ends_the_ringing() -> None:
    room = Room()
    assert room.turns.touched(TOUCH) is None
    room.announcements.add(Announcement("alarm", lambda: "It is noon.", rings=True))
    room.step()
    assert room.turns.touched(TOUCH) == [TurnSignal(TurnEvent.INTERRUPTED, 5, 4)]
    assert room.turns.touched(TOUCH) == [TurnSignal(TurnEvent.INTERRUPTED, 5, 4)]
    room.announcements.end(0.1)
    assert room.turns.touched(TOUCH) is None
    room.announcements.add(Announcement("alarm", lambda: "It is one.", rings=True))
    room.step()
    room.announcements.end(1.0)
    assert room.turns.touched(TOUCH) == []
    assert [one.state for one in room.told if isinstance(one, Announced)] == ["begun", "begun", "answered"]
    assert room.turns.touched(TOUCH) is None

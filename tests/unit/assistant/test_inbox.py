"""The responder's inbox: what aborts, what is silenced, what waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from glasses.assistant.clock import HostClock
from glasses.assistant.inbox import Cut, Inbox, NewDraft, Stop
from glasses.assistant.reply import SAME_ROW
from glasses.backbone.handover import Handover
from glasses.events import TurnEvent
from tests.unit.assistant.test_responder import Backbone, Speaker, draft, signal


def opened() -> tuple[Inbox, Backbone, Speaker]:
    backbone, speaker = Backbone(), Speaker()
    shared: Any = backbone
    parts: Any = Handover(shared), None, speaker, HostClock()
    inbox = Inbox(*parts)
    inbox.open()
    return inbox, backbone, speaker


def test_inbox_commands_that_wait_keep_clauses_from_the_speaker() -> None:
    inbox, backbone, speaker = opened()
    inbox.put(signal(TurnEvent.INTERRUPTED))
    assert inbox.play(1, "late", np.zeros(4, np.float32)) is None
    assert backbone.aborted
    (cut,) = inbox.take(0.0)
    assert isinstance(cut, Cut)
    assert not backbone.aborted
    assert inbox.play(1, "in time", np.zeros(4, np.float32))
    assert [one.text for one in speaker.clauses] == ["in time"]


def test_inbox_draft_that_says_the_same_aborts_nothing() -> None:
    inbox, backbone, _ = opened()
    one = draft()
    inbox.put(one)
    inbox.take(0.0)
    inbox.put(replace(one, rows=one.rows * np.float32(1 + SAME_ROW / 2)))
    assert not backbone.aborted
    inbox.put(replace(one, may_be_complete=False))
    assert backbone.aborted
    first, second = inbox.take(0.0)
    assert isinstance(first, NewDraft)
    assert isinstance(second, NewDraft)
    assert first.basis is not second.basis


def test_inbox_that_is_not_open_aborts_nothing() -> None:
    backbone = Backbone()
    shared: Any = backbone
    parts: Any = Handover(shared), None, None, HostClock()
    inbox = Inbox(*parts)
    inbox.put(draft())
    inbox.stop()
    assert not backbone.aborted
    assert isinstance(inbox.take(0.0)[-1], Stop)

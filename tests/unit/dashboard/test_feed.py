"""What the dashboard shows of the assistant's events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glasses.dashboard.feed import MOST_BARS, PanelFeed, turn_view
from glasses.dashboard.status import Panel
from glasses.events import Draft, Outcome, Reply, TurnCompleted, TurnEvent, TurnSignal, TurnSpan, Work
from glasses.types import NS_PER_MS, AudioChunk, Button, DeviceChange, Frame, OwnVoice, Token, Turn

END_NS = 10_000 * NS_PER_MS
TURN = Turn(3, 8000 * NS_PER_MS, "tap", ("hello",))
DRAFT = Draft(TURN, np.zeros((4, 8), np.float32), True, True, False, (9000 * NS_PER_MS, 9050 * NS_PER_MS))
ENDED = TurnCompleted(
    TURN,
    TurnSpan(8000 * NS_PER_MS, False, (8200 * NS_PER_MS, END_NS), END_NS + 300 * NS_PER_MS),
    None,
    END_NS + 300 * NS_PER_MS,
)


def give(feed: PanelFeed, event: object) -> None:
    feed.handlers[type(event)](event)


def reply() -> Reply:
    made = Reply(DRAFT, 1, ended=ENDED, audible_ns=END_NS + 420 * NS_PER_MS, outcome=Outcome.COMPLETED)
    made.tokens.append(Token(3, 1, " Paris.", -0.1, None, True))
    for stage, began_ms, ended_ms in (("prefill", -900, -200), ("first piece", 310, 350), ("voice", 350, 410)):
        made.work.append(Work(3, 1, stage, END_NS + began_ms * NS_PER_MS, END_NS + ended_ms * NS_PER_MS))
    made.work.append(Work(3, 1, "voice", END_NS + 800 * NS_PER_MS, END_NS + 900 * NS_PER_MS))
    return made


def test_turn_view_of_a_reply_is_a_waterfall_to_the_first_sound() -> None:
    """It begins at the end of speech."""
    view = turn_view(reply())
    assert (view.id, view.cause, view.answer, view.outcome, view.first_sound_ms) == (
        3,
        "tap",
        "Paris.",
        "completed",
        420.0,
    )
    assert [(bar.stage, bar.from_ms, bar.to_ms) for bar in view.bars] == [
        ("prefill", -900.0, -200.0),
        ("wait for silence", 0.0, 300.0),
        ("first piece", 310.0, 350.0),
        ("voice", 350.0, 410.0),
    ]
    long = reply()
    long.work = [Work(3, i, "encode", END_NS - i * NS_PER_MS, END_NS) for i in range(99)]
    assert len(turn_view(long).bars) == MOST_BARS
    assert turn_view(Reply(DRAFT, 1)).bars == ()


@pytest.mark.parametrize("event", sorted(set(TurnEvent) - {TurnEvent.SILENCE_STARTED, TurnEvent.TURN_COMPLETED}))
def test_panel_feed_turn_event_is_shown_with_its_reason(event: TurnEvent) -> None:
    panel = Panel()
    give(PanelFeed(panel), TurnSignal(event, 7, 3))
    (gate,) = panel.snapshot().gates
    assert gate.t_ns == 7
    assert gate.why
    assert panel.snapshot().state != "starting"


def test_panel_feed_of_a_turn_shows_it_from_sound_to_answer() -> None:
    panel = Panel()
    feed = PanelFeed(panel)
    give(feed, AudioChunk(0, 0, np.full(320, 3277, np.int16), 16_000))
    give(feed, Frame(0, 0, np.zeros((4, 4, 3), np.uint8)))
    give(feed, DRAFT)
    give(feed, ENDED)
    assert panel.snapshot().state == "thinking"
    give(feed, reply())
    status = panel.snapshot()
    assert status.microphone_dbfs == -20.0
    assert status.has_camera
    assert status.gates[-1].why == "300 ms after the end of speech"
    assert [turn.id for turn in status.turns] == [3]


@pytest.mark.parametrize(
    ("seen", "decision", "why"),
    [
        ((Button(7, "long_press"), TurnSignal(TurnEvent.TURN_STARTED, 7, 3)), "started", "a long touch: look at this"),
        ((Button(6, "long_press"), TurnSignal(TurnEvent.TURN_STARTED, 7, 3)), "started", "it was spoken to"),
        ((replace(DRAFT, turn=replace(TURN, cause="wake_word")),), "called", "the wake word was heard"),
        ((TurnSignal(TurnEvent.INTERRUPTED, 7, 3, continues_turn=True),), "fell silent", "same turn"),
        ((ENDED, TurnSignal(TurnEvent.TIMED_OUT, 7, 3)), "timed out", "nobody waits"),
        ((DRAFT, TurnSignal(TurnEvent.TIMED_OUT, 7, 3)), "timed out", "nobody waits"),
        ((DRAFT, TurnSignal(TurnEvent.NOT_ADDRESSED, 7, 3)), "ignored", "asked for nothing"),
        ((DeviceChange(6, "muted"), TurnSignal(TurnEvent.TIMED_OUT, 7, 3)), "dropped", "closed"),
        ((DeviceChange(7, "disconnected"),), "disconnected", "gives nothing"),
        ((DeviceChange(7, "disconnected", "the camera gives no picture"),), "disconnected", "the camera"),
        (
            (DeviceChange(5, "muted"), DeviceChange(6, "disconnected"), TurnSignal(TurnEvent.TIMED_OUT, 7, 3)),
            "dropped",
            "closed",
        ),
        ((OwnVoice(7, True),), "own voice", "the reply itself"),
        ((replace(ENDED, view=Frame(5, 0, np.zeros((4, 4, 3), np.uint8))),), "looked", "a long one"),
        ((replace(ENDED, memory_intent="wipe"),), "asked", "to forget"),
    ],
)
def test_panel_feed_event_is_shown_with_the_gate_that_decided_and_why(
    seen: tuple[object, ...], decision: str, why: str
) -> None:
    panel = Panel()
    feed = PanelFeed(panel)
    for what in seen:
        give(feed, what)
    last = panel.snapshot().gates[-1]
    assert last.decision == decision
    assert why in last.why

"""What the live spine lets watch, as the dashboard shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glasses.dashboard.feed import MOST_BARS, PanelFeed, turn_view
from glasses.dashboard.status import Panel
from glasses.events import Draft, Reply, TurnCompleted, TurnSignal, TurnSpan, Work
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


def reply() -> Reply:
    made = Reply(DRAFT, 1, ended=ENDED, audible_ns=END_NS + 420 * NS_PER_MS, outcome="said")
    made.pieces.append(Token(3, 1, " Paris.", -0.1, None, True))
    for stage, began_ms, ended_ms in (("prefill", -900, -200), ("first piece", 310, 350), ("voice", 350, 410)):
        made.work.append(Work(3, 1, stage, END_NS + began_ms * NS_PER_MS, END_NS + ended_ms * NS_PER_MS))
    made.work.append(Work(3, 1, "voice", END_NS + 800 * NS_PER_MS, END_NS + 900 * NS_PER_MS))
    return made


def test_a_reply_becomes_a_waterfall_from_the_end_of_speech_to_the_first_sound() -> None:
    view = turn_view(reply())
    assert (view.id, view.cause, view.answer, view.outcome, view.first_sound_ms) == (3, "tap", "Paris.", "said", 420.0)
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


@pytest.mark.parametrize("what", ["opened", "resumed", "pause", "unpause", "interrupt", "expire", "pass"])
def test_everything_the_mouth_is_told_is_said_with_its_reason(what: str) -> None:
    panel = Panel()
    PanelFeed(panel).saw(TurnSignal(what, 7, 3))  # pyright: ignore[reportArgumentType]
    (gate,) = panel.snapshot().gates
    assert gate.t_ns == 7
    assert gate.why
    assert panel.snapshot().state != "starting"


def test_a_turn_from_sound_to_answer() -> None:
    panel = Panel()
    feed = PanelFeed(panel)
    feed.saw(AudioChunk(0, 0, np.full(320, 3277, np.int16), 16_000))
    feed.saw(Frame(0, 0, np.zeros((4, 4, 3), np.uint8)))
    feed.saw(DRAFT)
    feed.saw(ENDED)
    assert panel.snapshot().state == "thinking"
    feed.saw(reply())
    status = panel.snapshot()
    assert status.microphone_dbfs == -20.0
    assert status.has_camera
    assert status.gates[-1].why == "300 ms after the end of speech"
    assert [turn.id for turn in status.turns] == [3]


@pytest.mark.parametrize(
    ("seen", "decision", "why"),
    [
        ((Button(7, "hold"), TurnSignal("opened", 7, 3)), "opened", "a long touch: look at this"),
        ((Button(6, "hold"), TurnSignal("opened", 7, 3)), "opened", "it was spoken to"),
        ((replace(DRAFT, turn=replace(TURN, cause="wake")),), "called", "the wake phrase was heard"),
        ((TurnSignal("interrupt", 7, 3, merged=True),), "fell silent", "same turn"),
        ((ENDED, TurnSignal("expire", 7, 3)), "expired", "nobody waits"),
        ((DRAFT, TurnSignal("expire", 7, 3)), "expired", "nobody waits"),
        ((DRAFT, TurnSignal("pass", 7, 3)), "let pass", "asked for nothing"),
        ((DeviceChange(6, "muted"), TurnSignal("expire", 7, 3)), "dropped", "closed"),
        ((DeviceChange(7, "gone"),), "gone", "gives nothing"),
        ((DeviceChange(7, "gone", "the camera gives no picture"),), "gone", "the camera"),
        ((DeviceChange(5, "muted"), DeviceChange(6, "gone"), TurnSignal("expire", 7, 3)), "dropped", "closed"),
        ((OwnVoice(7, True),), "own voice", "the reply itself"),
        ((replace(ENDED, view=Frame(5, 0, np.zeros((4, 4, 3), np.uint8))),), "looked", "a long one"),
        ((replace(ENDED, wish="wipe"),), "asked", "to forget"),
    ],
)
def test_the_page_says_which_gate_decided_and_for_what_reason(
    seen: tuple[object, ...], decision: str, why: str
) -> None:
    panel = Panel()
    feed = PanelFeed(panel)
    for what in seen:
        feed.saw(what)
    last = panel.snapshot().gates[-1]
    assert last.decision == decision
    assert why in last.why

"""The table of the turn manager, and the speculator's decisions step by step."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.speculator import Decision, DraftState, Speculator
from glasses.assistant.turn_manager import CAPS, TRANSITIONS, TurnState
from glasses.audio.silence_predictor import SilencePredictor
from glasses.audio.vad import STEP, STEP_NS
from glasses.events import TurnEvent
from glasses.types import NS_PER_MS

VOICE = np.full(STEP, 0.1, np.float32)
ROOM = np.full(STEP, 0.0001, np.float32)


def test_transitions_every_state_is_reached_left_and_capped() -> None:
    assert {state for state, _ in TRANSITIONS} == set(TurnState)
    assert {state for state, _ in TRANSITIONS.values()} == set(TurnState)
    assert set(CAPS) == set(TurnState) - {TurnState.IDLE}
    for state, (_, trigger) in CAPS.items():
        assert (state, trigger) in TRANSITIONS, f"{state} has a cap that nothing follows from"


def test_transitions_every_event_but_not_addressed_comes_from_the_table() -> None:
    events = {event for _, event in TRANSITIONS.values() if event}
    assert events == set(TurnEvent) - {TurnEvent.NOT_ADDRESSED}  # the addressee head's verdict on a completed turn


class Turn:
    """A turn whose user has spoken for a second, one partial draft made."""

    def __init__(self, config: ListenerConfig | None = None, took_ms: int = 40) -> None:
        self.speculator = Speculator(config or ListenerConfig(), SilencePredictor())
        self.speculator.hear(ROOM, is_speech=False)
        self.speculator.begin_turn(0)
        self.now_ns = self.speech_end_ns = 0
        decisions = [self.step(VOICE, is_speech=True) for _ in range(31)]
        assert decisions[-1] is Decision.EXTEND
        self.made(DraftState.PARTIAL)
        self.speculator.schedule(self.now_ns, took_ms * NS_PER_MS)

    def step(self, pcm: np.ndarray, *, is_speech: bool) -> Decision:
        self.now_ns += STEP_NS
        self.speech_end_ns = self.now_ns if is_speech else self.speech_end_ns
        self.speculator.hear(pcm, is_speech=is_speech)
        return self.speculator.decide(self.now_ns, self.speech_end_ns)

    def made(self, state: DraftState) -> None:
        self.speculator.made(state, self.now_ns)


def test_speculator_quiet_before_the_vad_notices_speculates_and_keeps() -> None:
    turn = Turn()
    assert turn.step(ROOM, is_speech=True) is Decision.SPECULATE  # the detector still hears speech
    turn.made(DraftState.SPECULATIVE)
    assert turn.step(ROOM, is_speech=True) is Decision.KEEP
    assert turn.step(ROOM, is_speech=False) is Decision.KEEP
    assert turn.speculator.promote(turn.now_ns)
    assert turn.speculator.has_final_of(turn.now_ns)


def test_speculator_speech_after_all_retracts_the_draft() -> None:
    turn = Turn()
    assert turn.step(ROOM, is_speech=True) is Decision.SPECULATE
    turn.made(DraftState.SPECULATIVE)
    assert turn.step(VOICE, is_speech=True) is Decision.RETRACT
    assert turn.speculator.state is DraftState.PARTIAL
    assert not turn.speculator.promote(turn.now_ns)


def test_speculator_vad_slower_than_its_lag_retracts_the_draft() -> None:
    turn = Turn()
    assert turn.step(ROOM, is_speech=True) is Decision.SPECULATE
    turn.made(DraftState.SPECULATIVE)
    found = [turn.step(ROOM, is_speech=True) for _ in range(5)]
    assert found == [Decision.KEEP] * 4 + [Decision.RETRACT]  # 128 ms


@pytest.mark.parametrize("took_ms", [101, 5000])
def test_speculator_slow_drafts_are_not_speculated_on(took_ms: int) -> None:
    turn = Turn(took_ms=took_ms)
    assert [turn.step(ROOM, is_speech=False) for _ in range(3)] == [Decision.NOTHING] * 3


def test_speculator_long_draft_delays_the_next_one() -> None:
    waits = []
    for took_ms in (40, 400):
        turn = Turn(took_ms=took_ms)
        steps = 1
        while turn.step(VOICE, is_speech=True) is not Decision.EXTEND:
            steps += 1
            assert steps < 100
        waits.append(steps * STEP_NS // NS_PER_MS)
    assert waits == [320, 1216]  # at least 300 ms, and three times what the last took

"""A reply that is interrupted in a replay: what was heard of it is by the stream's clock, or as it was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from glasses.evaluation.bench.latency import spoken_questions
from glasses.events import Outcome, ReplyState, TurnCompleted, TurnEvent, TurnSignal
from glasses.recording.entries import Answered, Decision, decision_of
from glasses.replay.replayed_reply import ReplayedReply
from glasses.replay.replayer import Given, ReplayEngine, Told
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Button, Float32Array, SensorEvent

pytestmark = [pytest.mark.models, pytest.mark.slow]
CHUNK, CHUNK_NS = SAMPLE_RATE_HZ // 50, NS_PER_S // 50
RATE_HZ = 1000


class SlowVoice:
    """Four seconds a clause, whatever it says."""

    rate_hz = RATE_HZ

    def speak(self, clauses: Iterable[str]) -> Iterator[Float32Array]:
        for _ in clauses:
            yield np.full(4 * RATE_HZ, 0.1, np.float32)

    def abort(self) -> None: ...


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle(n_threads=1)
    yield opened
    opened.close()


def talked_over() -> list[SensorEvent]:
    """A question after a touch, and the same voice with it again two seconds into the reply."""
    (question,) = spoken_questions(1)
    pause = np.zeros(2 * SAMPLE_RATE_HZ + CHUNK, np.float32)
    pcm = (np.concatenate([question, pause, question, pause]) * 32767).astype(np.int16)
    chunks = [pcm[i : i + CHUNK] for i in range(0, len(pcm) - CHUNK, CHUNK)]
    return [Button(0, "tap"), *(AudioChunk(i * CHUNK_NS, i, one, SAMPLE_RATE_HZ) for i, one in enumerate(chunks))]


def replayed(loaded: LoadedBundle, stream: Iterable[Given], **how: Any) -> list[Told]:
    voice: Any = SlowVoice()
    told = list[Told]()
    ReplayEngine(loaded, voice, **how).run(stream, told.append)
    return told


def replies_of(told: list[Told]) -> list[ReplayedReply]:
    return [one for one in told if isinstance(one, ReplayedReply)]


def test_replay_reply_talked_over_is_cut_where_it_was_heard_and_told_once(loaded: LoadedBundle) -> None:
    told = replayed(loaded, talked_over())
    first, second = replies_of(told)
    assert (first.outcome, second.outcome) == (Outcome.INTERRUPTED, Outcome.COMPLETED)
    assert 0 < first.n_tokens_played < len(first.tokens)
    assert second.ended.turn.cause == "barge_in"
    events = [one.event for one in told if isinstance(one, TurnSignal)]
    assert events == [TurnEvent.TURN_STARTED, TurnEvent.BARGE_IN_PENDING, TurnEvent.INTERRUPTED]
    assert [one for one in told if isinstance(one, TurnCompleted)] == [first.ended, second.ended]


@pytest.mark.parametrize("n_heard", [0, 2])
def test_replay_recorded_interruption_keeps_what_the_recording_says_was_heard(
    loaded: LoadedBundle, n_heard: int
) -> None:
    """The recording tells it some time after the interruption, and of a voice that this replay may not have."""
    told = replayed(loaded, talked_over())
    first, second = replies_of(told)
    (cut_ns,) = (one.t_ns for one in told if isinstance(one, TurnSignal) and one.event is TurnEvent.INTERRUPTED)
    decided_ns = first.ended.span.decided_ns
    what_became: list[ReplyState | Decision | Answered] = [
        decision_of(first.ended),
        ReplyState(decided_ns, 1, "audible"),
        Answered(cut_ns + NS_PER_S // 10, 1, first.text, {}, Outcome.INTERRUPTED, n_heard),
        decision_of(second.ended),
    ]
    stream = sorted([*talked_over(), *what_became], key=lambda one: one.t_ns)
    again = replies_of(replayed(loaded, stream, replies_recorded=True))
    assert [one.outcome for one in again] == [Outcome.INTERRUPTED, Outcome.COMPLETED]
    assert [one.n_tokens_played for one in again] == [n_heard, 0]
    assert again[0].tokens == first.tokens

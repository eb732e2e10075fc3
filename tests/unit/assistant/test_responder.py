"""The responder with a backbone, a voice and a speaker that only keep what they are given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.assistant.inbox import Announce
from glasses.assistant.reply import SAME_ROW, TurnProgress, same_rows
from glasses.assistant.responder import Responder
from glasses.errors import ModelError, Reason
from glasses.events import Clause, Draft, Outcome, Reply, ReplyState, TurnCompleted, TurnEvent, TurnSignal, TurnSpan
from glasses.types import Float32Array, Token, Turn

TOKENS = ["The", " sky", " is", " bl", "ue", ",", " and", " clear", "."]
N_EMBD, N_SUFFIX = 16, 1
WAIT_S = 20.0


class Backbone:
    """A cache of rows, and what aborted."""

    n_embd, n_ctx = N_EMBD, 512
    eos = frozenset[int]()
    prompt_format = SimpleNamespace(turn_break="end", suffix="answer:")

    def __init__(self) -> None:
        self.n_past, self.n_fed, self.aborted = 0, 0, False

    def rollback(self, n_past: int) -> None:
        self.n_past = n_past

    def feed(self, inputs: list[Any]) -> None:
        if self.aborted:
            self.aborted = False
            raise ModelError(Reason.ABORTED, "aborted by another thread")
        self.n_fed += sum(len(one) for one in inputs)
        self.n_past += sum(len(one) for one in inputs)

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        return [0] * len(text.split())

    def token_rows(self, ids: list[int]) -> Float32Array:
        return np.full((len(ids), N_EMBD), 7, np.float32)

    def abort(self) -> None:
        self.aborted = True

    def clear_abort(self) -> None:
        self.aborted = False


class Voice:
    """A voice that gives ten milliseconds of sound for each clause."""

    rate_hz = 16_000

    def speak(self, clauses: Iterator[str]) -> Iterator[Float32Array]:
        for _ in clauses:
            yield np.full(160, 0.1, np.float32)

    def abort(self) -> None: ...


class Speaker:
    """Plays at once, and is silent from `silence` on."""

    gone = is_speaking = False

    def __init__(self) -> None:
        self.clauses, self.calls = list[Clause](), list[tuple[str, int]]()

    def play(self, turn_id: int, text: str, pcm: Float32Array) -> Clause:
        self.clauses.append(Clause(turn_id, text, len(pcm), len(pcm), first_ns=1))
        return self.clauses[-1]

    def silence(self) -> list[Clause]:
        self.calls.append(("silence", threading.get_ident()))
        return self.clauses

    def pause(self) -> None:
        self.calls.append(("pause", threading.get_ident()))

    def unpause(self) -> None:
        self.calls.append(("unpause", threading.get_ident()))


def draft(text: str = "a", *, turn_id: int = 1, may_be_complete: bool = True, n: int = 6) -> Draft:
    rows = np.random.default_rng(sum(text.encode())).standard_normal((n, N_EMBD)).astype(np.float32)
    return Draft(Turn(turn_id, 0, "tap", (text,)), rows, may_be_complete, may_be_complete, False, (0, 0))


def completed(one: Draft) -> TurnCompleted:
    return TurnCompleted(one.turn, TurnSpan(0, False, None, 0), None, time.monotonic_ns())


def signal(event: TurnEvent, *, turn_id: int = 1) -> TurnSignal:
    return TurnSignal(event, time.monotonic_ns(), turn_id)


class Running:
    """A responder in a thread of its own, and what it told."""

    def __init__(self, write: Callable[[Draft, TurnProgress], Iterator[Token]] | None = None, **how: Any) -> None:
        self.backbone, self.speaker = Backbone(), Speaker()
        self.replies, self.states, self.texts = list[Reply](), list[ReplyState](), list[str]()
        loaded: Any = SimpleNamespace(backbone=self.backbone, n_prefix=0, bundle=SimpleNamespace(history_turns=None))
        speaker: Any = self.speaker
        voice: Any = how.pop("voice", Voice())
        how = {"on_state": self.states.append, "on_reply": self.replies.append, "on_text": self.texts.append} | how
        self.responder = Responder(loaded, voice, speaker, write=write or sky, **how)
        self._thread = threading.Thread(target=self.responder.run, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.responder.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def put(self, *signals: Any) -> None:
        for one in signals:
            self.responder.put(one)

    def wait_for(self, condition: Callable[[], Any]) -> None:
        until = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.001)


def sky(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
    for i, text in enumerate(TOKENS):
        yield Token(draft.turn.id, i, text, 0.0, None, i == len(TOKENS) - 1)


def test_responder_completed_turn_is_said_shown_and_told_once() -> None:
    with Running() as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
    (reply,) = running.replies
    assert reply.outcome is Outcome.COMPLETED
    assert " ".join(clause.text for clause in running.speaker.clauses) == "".join(TOKENS)
    assert "".join(running.texts) == "".join(TOKENS)
    assert [state.state for state in running.states] == ["audible", "finished"]


def test_responder_draft_that_may_be_complete_is_written_but_not_played() -> None:
    asked = list[str]()

    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        asked.append(str(draft.turn.inputs[0]))
        return sky(draft, progress)

    with Running(write) as running:
        one = draft()
        running.put(one)
        running.wait_for(lambda: asked)
        running.put(replace(one, rows=one.rows * np.float32(1 + SAME_ROW / 3)))  # the same, as good as
        time.sleep(0.05)
        assert (running.speaker.clauses, running.texts, running.states) == ([], [], [])
        assert running.backbone.n_fed == len(one.rows) + N_SUFFIX
        running.put(completed(one))
        running.wait_for(lambda: running.replies)
    assert asked == ["a"]


def test_responder_drafts_that_drift_are_answered_within_tolerance() -> None:
    given = list[Float32Array]()

    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        given.append(draft.rows)
        return sky(draft, progress)

    with Running(write) as running:
        one = draft()
        for _ in range(12):
            one = replace(one, rows=one.rows * np.float32(1 + 0.8 * SAME_ROW))
            running.put(one)
            time.sleep(0.005)
        running.put(completed(one))
        running.wait_for(lambda: running.replies)
    assert same_rows(given[-1], one.rows) == len(one.rows)


@pytest.mark.parametrize("event", [TurnEvent.NOT_ADDRESSED, TurnEvent.TIMED_OUT])
def test_responder_turn_that_is_dropped_is_neither_shown_nor_told(event: TurnEvent) -> None:
    with Running() as running:
        running.put(draft())
        time.sleep(0.02)
        running.put(signal(event))
        two = draft("b", turn_id=2)
        running.put(two, completed(two))
        running.wait_for(lambda: running.replies)
    assert [reply.draft.turn.id for reply in running.replies] == [2]
    assert {clause.turn_id for clause in running.speaker.clauses} == {2}


def test_responder_interruption_ends_the_reply_and_keeps_what_was_heard() -> None:
    """It takes effect within one step of the backbone."""
    step = threading.Event()

    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        yield Token(draft.turn.id, 0, "Well,", 0.0, None, False)
        yield Token(draft.turn.id, 1, " yes. ", 0.0, None, False)
        step.wait(WAIT_S)
        yield Token(draft.turn.id, 2, "never said.", 0.0, None, True)

    with Running(write) as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: running.speaker.clauses)
        running.put(signal(TurnEvent.INTERRUPTED))
        assert running.speaker.calls == [("silence", threading.get_ident())], "in the caller's thread"
        assert running.backbone.aborted
        step.set()
        running.wait_for(lambda: running.replies)
        (reply,) = running.replies
        n_heard = reply.n_tokens_played + 1  # and the end of the assistant's turn
        running.wait_for(lambda: running.backbone.n_past == len(one.rows) + N_SUFFIX + n_heard)
    assert reply.outcome is Outcome.INTERRUPTED
    assert reply.n_tokens_played >= 1
    assert not any("never" in clause.text for clause in running.speaker.clauses)


def test_responder_barge_in_pauses_in_the_callers_thread() -> None:
    with Running() as running:
        running.put(signal(TurnEvent.BARGE_IN_PENDING), signal(TurnEvent.BARGE_IN_REJECTED))
        assert running.speaker.calls == [("pause", threading.get_ident()), ("unpause", threading.get_ident())]


def test_responder_callbacks_hold_no_lock() -> None:
    """A callback that waits for another thread which gives the responder a signal does not hang."""
    done = list[bool]()

    def wait(_: object) -> None:
        other = threading.Thread(target=lambda: running.put(signal(TurnEvent.BARGE_IN_PENDING)), daemon=True)
        other.start()
        other.join(5)
        done.append(not other.is_alive())

    running = Running(on_state=wait, on_reply=wait, on_text=wait, on_progress=lambda: None)
    with running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: len(done) >= 4)
    assert all(done)


def test_responder_turn_knows_those_before_but_not_those_that_were_not_for_it() -> None:
    kept = list[tuple[int | None, str]]()
    with Running(on_kept=lambda turn, said: kept.append((turn.id if turn else None, said))) as running:
        for turn_id, is_addressed in ((1, True), (2, False), (3, True)):
            one = draft(str(turn_id), turn_id=turn_id)
            running.put(one)
            if is_addressed:
                running.put(completed(one))
                running.wait_for(lambda n=turn_id: running.replies and running.replies[-1].draft.turn.id == n)
            else:
                running.put(signal(TurnEvent.NOT_ADDRESSED, turn_id=turn_id))
        running.wait_for(lambda: len(kept) == 2)
        running.responder.forget().wait(WAIT_S)
    assert [reply.n_past_turns for reply in running.replies] == [0, 1]
    assert kept == [(1, "".join(TOKENS)), (3, "".join(TOKENS)), (None, "")]


def test_responder_failing_voice_ends_the_reply_not_the_thread() -> None:
    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        if draft.turn.id == 1:
            raise ModelError(Reason.INTERNAL, "broken")
        return sky(draft, progress)

    with Running(write) as running:
        for turn_id in (1, 2):
            one = draft(str(turn_id), turn_id=turn_id)
            running.put(one, completed(one))
            running.wait_for(lambda n=turn_id: len(running.replies) == n)
    assert [reply.outcome for reply in running.replies] == [Outcome.FAILED, Outcome.COMPLETED]
    assert [state.state for state in running.states] == ["finished", "audible", "finished"]


def test_responder_reply_that_is_cut_by_the_end_was_interrupted_and_did_not_fail() -> None:
    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        yield from sky(draft, progress)
        yield from sky(draft, progress)
        while True:
            progress.check()

    with Running(write) as running:
        one = draft()
        running.put(one, completed(one))
        running.wait_for(lambda: any(state.state == "audible" for state in running.states))
    assert [reply.outcome for reply in running.replies] == [Outcome.INTERRUPTED]


def test_responder_announcement_is_played_whole_and_told_so() -> None:
    ended = list[tuple[int, float]]()
    with Running(on_announced=lambda id, share: ended.append((id, share))) as running:
        running.responder.announce(Announce(7, "It is up. Really."))
        running.wait_for(lambda: ended)
        assert [clause.text for clause in running.speaker.clauses] == ["It is up. Really."]
        assert running.speaker.clauses[0].n_samples == 320
    assert ended == [(7, 1.0)]


def test_responder_announcement_cut_at_the_speaker_tells_what_was_heard() -> None:
    ended = list[tuple[int, float]]()
    with Running(on_announced=lambda id, share: ended.append((id, share))) as running:
        running.speaker.is_speaking = True
        running.responder.announce(Announce(7, "It is up."))
        running.wait_for(lambda: running.speaker.clauses)
        running.speaker.clauses[0].n_samples_played = 40
        one = draft(turn_id=2)
        running.put(signal(TurnEvent.INTERRUPTED, turn_id=2))
        running.speaker.is_speaking = False
        running.put(one, completed(one))
        running.wait_for(lambda: running.replies)
    assert ended == [(7, 0.25)]
    assert running.replies[0].outcome is Outcome.COMPLETED


def test_responder_announcement_that_waits_for_a_cut_reply_is_not_played_into_the_turn() -> None:
    ended = list[tuple[int, float]]()
    with Running(on_announced=lambda id, share: ended.append((id, share))) as running:
        running.responder._inbox._commands += [Announce(7, "It is up.")]
        running.put(signal(TurnEvent.INTERRUPTED))
        running.wait_for(lambda: ended)
        assert not running.speaker.clauses
    assert ended == [(7, 0.0)]


def test_responder_announcement_without_a_voice_is_shown_only() -> None:
    ended = list[tuple[int, float]]()
    with Running(on_announced=lambda id, share: ended.append((id, share)), voice=None) as running:
        running.responder.announce(Announce(7, "It is up."))
        running.wait_for(lambda: ended)
        assert not running.speaker.clauses
    assert ended == [(7, 1.0)]


def test_responder_announcement_waits_for_a_speaker_that_was_lost() -> None:
    ended = list[tuple[int, float]]()
    with Running(on_announced=lambda id, share: ended.append((id, share))) as running:
        speaker: Any = running.speaker
        running.responder.use_speaker(None)
        running.responder.announce(Announce(7, "It is up."))
        running.responder.use_speaker(speaker)
        running.wait_for(lambda: ended)
        assert running.speaker.clauses
    assert ended == [(7, 1.0)]

"""Listener and responder with the real models and no devices: drafts, what they reuse, what an interruption leaves.

The speaker is a fake that plays in no time; tests/live uses the real one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.assistant.listener import Listener
from glasses.assistant.reply import EXPIRES_MS, TurnProgress
from glasses.assistant.responder import Responder
from glasses.assistant.turn_encoder import TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.sound_files import read_audio
from glasses.audio.vad import Vad
from glasses.backbone.prompt_format import CHATML
from glasses.events import Clause, Draft, Outcome, Reply, ReplyState, TurnCompleted, TurnEvent, TurnSignal, TurnSpan
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.runtime.prompt import request_of, suffix_of
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Float32Array, Token, Turn, frozen

pytestmark = pytest.mark.models
SPEECH = Path(__file__).parents[2] / "models/eval/speech"
_START_NS = 10**12


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle(n_threads=1)
    yield opened
    opened.close()


def question(index: int) -> Float32Array:
    items = [json.loads(line) for line in (SPEECH / "index.jsonl").read_text().splitlines()]
    return read_audio(SPEECH / [item for item in items if item["set"] == "question"][index]["file"])


def chunks(pcm: Float32Array, start_ns: int = _START_NS) -> list[AudioChunk]:
    sound = (pcm * 32767).astype(np.int16)
    return [
        AudioChunk(
            start_ns + i * 1_000_000_000 // SAMPLE_RATE_HZ, i // 320, frozen(sound[i : i + 320].copy()), SAMPLE_RATE_HZ
        )
        for i in range(0, len(sound) - 319, 320)
    ]


def asked(index: int) -> list[AudioChunk]:
    """A question after half a second of silence and before one and a half."""
    return chunks(np.concatenate([np.zeros(8000, np.float32), question(index), np.zeros(24000, np.float32)]))


def detector() -> Vad:
    return Vad(store.path_of(store.load_bundle().vad))


def test_listener_speech_makes_drafts_and_the_last_is_the_turn(loaded: LoadedBundle) -> None:
    """Drafts are made while the wearer speaks; the last one is what is answered."""
    listener = Listener(detector(), TurnManager(on_speech=True), TurnEncoder(loaded))
    signals = [signal for chunk in asked(0) for signal in listener.feed(chunk)]
    drafts = [signal for signal in signals if isinstance(signal, Draft)]
    ended = [signal for signal in signals if isinstance(signal, TurnCompleted)]
    assert len(ended) == 1
    assert len(drafts) >= 2
    assert drafts[-1].is_final
    assert ended[0].turn is drafts[-1].turn
    fed = [
        part if isinstance(part, np.ndarray) else loaded.backbone.token_rows(part)
        for part in request_of(loaded, ended[0].turn.inputs)
    ]
    np.testing.assert_array_equal(drafts[-1].rows, np.concatenate(fed))


class Voice:
    """Ten milliseconds of hum a clause."""

    rate_hz = SAMPLE_RATE_HZ

    def speak(self, clauses: Any) -> Iterator[Float32Array]:
        for _ in clauses:
            yield np.full(160, 0.1, np.float32)

    def abort(self) -> None: ...


class Loudspeaker:
    """Plays at once, and counts `heard` of each clause as heard when silenced."""

    gone = False

    def __init__(self, heard: float) -> None:
        self.heard, self.clauses = heard, list[Clause]()
        self.is_speaking = True

    def play(self, turn_id: int, text: str, pcm: Float32Array) -> Clause:
        self.clauses.append(Clause(turn_id, text, len(pcm), len(pcm), first_ns=1))
        return self.clauses[-1]

    def silence(self) -> list[Clause]:
        for clause in self.clauses:
            clause.n_samples_played = round(clause.n_samples * self.heard)
        return self.clauses

    def pause(self) -> None: ...

    def unpause(self) -> None: ...


@pytest.mark.parametrize("heard", [0.0, 1.0])
def test_responder_interrupted_keeps_what_was_heard_in_its_context(loaded: LoadedBundle, heard: float) -> None:
    replies: list[Reply] = []
    audible = threading.Event()
    speaker: Any = Loudspeaker(heard)
    voice: Any = Voice()
    responder = Responder(loaded, voice, speaker, on_state=lambda state: audible.set(), on_reply=replies.append)
    listener = Listener(detector(), TurnManager(on_speech=True), TurnEncoder(loaded))

    def interrupt() -> None:
        for chunk in asked(0):
            for signal in listener.feed(chunk):
                responder.put(signal)
        assert audible.wait(60)
        threading.Event().wait(1.0)  # some of the reply is written
        responder.put(TurnSignal(TurnEvent.INTERRUPTED, _START_NS, 1))
        threading.Event().wait(1.0)  # the responder follows
        responder.stop()

    thread = threading.Thread(target=interrupt)
    thread.start()
    responder.run()
    thread.join()
    assert [reply.outcome for reply in replies] == [Outcome.INTERRUPTED]
    n_prompt = loaded.n_prefix + len(replies[0].draft.rows) + len(suffix_of(loaded.backbone))
    if heard == 0.0:
        assert responder._context.base == loaded.n_prefix
    else:
        assert responder._context.base > n_prompt
        most = n_prompt + len(replies[0].tokens) + len(loaded.backbone.tokenize(CHATML.turn_break))
        assert responder._context.base <= most
    loaded.backbone.clear_abort()
    loaded.backbone.rollback(loaded.n_prefix)


def test_responder_draft_is_answered_only_if_it_may_be_complete(loaded: LoadedBundle) -> None:
    """A draft made during speech is only fed; for one made at a pause the first clause is written ahead."""
    answered: list[bool] = []
    first_clause = threading.Event()
    speaker: Any = Loudspeaker(1.0)
    voice: Any = Voice()
    asking = loaded.backbone.token_rows(loaded.backbone.tokenize("What is the capital of France?"))
    spoken = Draft(
        Turn(1, 0, "tap", ("",)),
        asking,
        may_be_complete=False,
        is_final=False,
        follows_interruption=False,
        work_ns=(0, 0),
    )

    def write(draft: Draft, progress: TurnProgress) -> Iterator[Token]:
        answered.append(draft.may_be_complete)
        yield Token(1, 0, "Paris.\n", 0.0, None, False)
        first_clause.set()
        yield Token(1, 1, "It is", 0.0, None, True)

    def talk() -> None:
        responder.put(spoken)
        threading.Event().wait(0.5)
        responder.put(replace(spoken, may_be_complete=True))
        first_clause.wait(30)
        responder.put(spoken)  # it was no end: speech goes on
        threading.Event().wait(0.5)
        responder.stop()

    responder = Responder(loaded, voice, speaker, on_state=lambda state: None, write=write)
    thread = threading.Thread(target=talk)
    thread.start()
    responder.run()
    thread.join()
    assert answered == [True]
    assert speaker.clauses == []
    assert loaded.backbone.n_past >= loaded.n_prefix + len(asking)
    loaded.backbone.clear_abort()
    loaded.backbone.rollback(loaded.n_prefix)


@pytest.mark.parametrize(("late_ms", "outcome"), [(EXPIRES_MS + 500, Outcome.TIMED_OUT), (0, Outcome.COMPLETED)])
def test_responder_reply_nobody_waits_for_is_not_begun(loaded: LoadedBundle, late_ms: int, outcome: str) -> None:
    """On a busy board the turn ended long before its answer is written; the listener is told that it is over."""
    replies, texts, told = list[Reply](), list[str](), list[str]()
    speaker: Any = Loudspeaker(1.0)
    speaker.is_speaking = False  # what it is given is said at once
    voice: Any = Voice()

    def on_state(state: ReplyState) -> None:
        told.append(state.state)
        if state.state == "finished":
            responder.stop()

    responder = Responder(loaded, voice, speaker, on_state=on_state, on_reply=replies.append, on_text=texts.append)
    turn = Turn(1, 0, "tap", ("What is the capital of France?",))
    rows = [p if isinstance(p, np.ndarray) else loaded.backbone.token_rows(p) for p in request_of(loaded, turn.inputs)]
    decided_ns = time.monotonic_ns() - late_ms * 1_000_000
    responder.put(
        Draft(
            turn, np.concatenate(rows), may_be_complete=True, is_final=True, follows_interruption=False, work_ns=(0, 0)
        )
    )
    responder.put(TurnCompleted(turn, TurnSpan(0, False, None, 0), None, decided_ns))
    responder.run()
    assert [reply.outcome for reply in replies] == [outcome]
    assert told[-1] == "finished"
    assert bool(speaker.clauses) == (outcome is Outcome.COMPLETED)
    loaded.backbone.clear_abort()
    loaded.backbone.rollback(loaded.n_prefix)

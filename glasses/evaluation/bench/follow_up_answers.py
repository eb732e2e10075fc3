"""Pairs of turns, spoken to the pipeline of `glasses run` and typed to its backbone: is the second answered alike?

The questions are said by the bundle's voice. A touch opens each turn, which goes through the listener of `glasses run`
on the sound's clock, and into the KV cache as its responder keeps it. What is typed is fed to the backbone whole, in
its chat format, with its own answer to the first turn. Alike is as in `evaluation/speech.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr

from glasses.assistant.kv_context import KvContext
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.reply_writer import MAX_TOKENS
from glasses.assistant.setup import open_listener
from glasses.assistant.turn_encoder import no_recall
from glasses.backbone.repetition import stop_on_repetition
from glasses.decoders.speech import Voice
from glasses.evaluation.bench.conversation import items_of
from glasses.evaluation.progress import Tick
from glasses.evaluation.speech import AGREE_F1, overlap_f1
from glasses.events import ReplyState, TurnCompleted
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
from glasses.runtime.prompt import suffix_of
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Button, Float32Array, Int16Array

_CHUNK = SAMPLE_RATE_HZ // 50
_LEAD_S, _AFTER_S = 0.3, 3.0  # silence before and after what is said


@dataclass(slots=True)
class Pair:
    """What was said, and the answers to both turns, spoken and typed."""

    said: tuple[str, str]
    typed: tuple[str, str] = ("", "")
    spoken: list[str] = field(default_factory=lambda: ["", ""])

    @property
    def is_alike(self) -> bool:
        """Whether the second spoken answer is that to what was typed."""
        return overlap_f1(self.spoken[1], self.typed[1]) >= AGREE_F1


def run(bundle: str, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Shares of the pairs of which both answers are alike. Raises ModelError, InputError(NOT_FOUND)."""
    pairs = [Pair((first, second)) for first, second in items_of("follow-ups.jsonl")]
    loaded = open_bundle(bundle)
    try:
        for done, pair in enumerate(pairs, 1):
            pair.typed = _typed(loaded, pair.said)
            tick("typed", done, len(pairs))
        with open_voice(bundle) as voice:
            sounds = [tuple(_sound(voice, text) for text in pair.said) for pair in pairs]
        spoken = _Spoken(loaded)
        for done, (pair, both) in enumerate(zip(pairs, sounds, strict=True), 1):
            spoken.forget()
            pair.spoken = [spoken.ask(pcm) for pcm in both]
            tick("spoken", done, len(pairs))
    finally:
        loaded.close()
    first = sum(overlap_f1(one.spoken[0], one.typed[0]) >= AGREE_F1 for one in pairs)
    return {
        "bundle": bundle,
        "pairs": len(pairs),
        "first_answered_as_typed": first,
        "follow_up_answered_as_typed": sum(one.is_alike for one in pairs),
        "unlike": [{"said": one.said, "typed": one.typed, "spoken": one.spoken} for one in pairs if not one.is_alike],
    }


def report(figures: Mapping[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{' / '.join(one['said'])}\n  typed:  {' / '.join(one['typed'])}\n  spoken: {' / '.join(one['spoken'])}"
        for one in figures["unlike"]
    ]
    n = figures["pairs"]
    lines.append(f"answered as typed, of {n} pairs: the first turn {figures['first_answered_as_typed']}")
    lines.append(f"answered as typed, of {n} pairs: the follow-up {figures['follow_up_answered_as_typed']}")
    return "\n".join(lines)


def _typed(loaded: LoadedBundle, said: tuple[str, str]) -> tuple[str, str]:
    backbone, answers = loaded.backbone, list[str]()
    fed = list[int]()
    for text in said:
        fed += [*backbone.tokenize(text, special=False), *suffix_of(backbone)]
        backbone.rollback(loaded.n_prefix)
        backbone.feed([fed])
        answers.append("".join(one.text for one in stop_on_repetition(backbone.generate(0, max_tokens=MAX_TOKENS))))
        fed += backbone.tokenize(answers[-1].strip(), special=False)
        fed += backbone.tokenize(backbone.prompt_format.turn_break)
    backbone.rollback(loaded.n_prefix)
    return answers[0].strip(), answers[1].strip()


def _sound(voice: Voice, text: str) -> Float32Array:
    pcm = np.concatenate(list(voice.speak([text])))
    return np.asarray(soxr.resample(pcm, voice.rate_hz, SAMPLE_RATE_HZ), np.float32)


class _Spoken:
    """Turns that are heard by a listener as in `glasses run`, one after the other, in the KV cache of the backbone."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._backbone, self._context = loaded.backbone, KvContext(loaded)
        # What is drafted must not hang on how long a draft takes on this machine.
        config = ListenerConfig(max_speculative_draft_ms=math.inf, view_wait_ms=math.inf)
        self._listener = open_listener(loaded, "button", no_recall, config=config)
        self._t_ns = self._seq = 0

    def forget(self) -> None:
        """Another conversation begins."""
        self._listener.forget(self._t_ns)
        self._context.forget()

    def ask(self, pcm: Float32Array) -> str:
        """The answer to what is said after a touch; empty where no turn came of it."""
        answers = list[str]()
        lead, after = (np.zeros(round(s * SAMPLE_RATE_HZ), np.float32) for s in (_LEAD_S, _AFTER_S))
        heard = (np.concatenate([lead, pcm, after]) * 32767).astype(np.int16)
        for event in (Button(self._t_ns, "tap"), *self._chunks(heard)):
            signals = [*self._listener.tick(event.t_ns), *self._listener.feed(event)]
            for signal in signals:
                if isinstance(signal, TurnCompleted) and not answers:
                    answers.append(self._answer(signal))
        return answers[0] if answers else ""

    def _chunks(self, heard: Int16Array) -> Iterator[AudioChunk]:
        for i in range(0, len(heard) - _CHUNK + 1, _CHUNK):
            yield AudioChunk(self._t_ns, self._seq, heard[i : i + _CHUNK], SAMPLE_RATE_HZ)
            self._t_ns, self._seq = self._t_ns + _CHUNK * NS_PER_S // SAMPLE_RATE_HZ, self._seq + 1

    def _answer(self, ended: TurnCompleted) -> str:
        draft = self._listener.last_draft
        assert draft is not None
        self._context.prefill(draft)
        tokens = list(stop_on_repetition(self._backbone.generate(draft.turn.id, max_tokens=MAX_TOKENS)))
        self._context.keep(draft, tokens)
        self._listener.feed(ReplyState(ended.span.decided_ns, draft.turn.id, "finished"))
        return "".join(token.text for token in tokens).strip()

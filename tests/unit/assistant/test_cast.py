"""Several personas at once: whose phrase was heard answers, with a prompt and a conversation of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.assistant.cast import Cast
from glasses.assistant.conversation import Conversation
from glasses.assistant.kv_context import KvContext
from glasses.assistant.persona import Persona
from glasses.audio.ring_buffer import RingBuffer
from glasses.backbone.llama import LlamaBackbone
from glasses.decoders.voices import Voices
from glasses.errors import InputError
from glasses.events import Draft
from glasses.heads.wake_word import EncodedOnce, WakeWords
from glasses.types import Turn

MAX, EVA = Persona(name="Max", wake_word="max"), Persona(name="Eva", wake_word="eva", speed=120, verbosity="short")


def test_cast_of_nobody_is_the_default_persona() -> None:
    cast = Cast({})
    assert (cast.current, cast.wake_words) == (Persona(), {"": "wake"})
    assert cast.use("max") is None


def test_cast_of_two_with_one_phrase_names_them() -> None:
    with pytest.raises(InputError, match="max and eva have the same wake phrase"):
        Cast({"max": Persona(name="Max"), "eva": Persona(name="Eva")})


@pytest.mark.models
def test_cast_who_is_called_answers_after_their_own_prompt_and_knows_no_turn_of_others(
    backbone: LlamaBackbone, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glasses.runtime.system_states.store.cache_dir", lambda: tmp_path)
    backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(MAX.system))])
    loaded: Any = SimpleNamespace(backbone=backbone, n_prefix=backbone.n_past)
    cast, changes = Cast({"max": MAX, "eva": EVA}), list[Persona]()
    cast.on_change = changes.append
    cast.prepare(loaded)
    assert (cast.current, cast.n_prefix(loaded)) == (MAX, loaded.n_prefix)
    context = KvContext(loaded)
    clock: Any = SimpleNamespace(now_ns=lambda: 0)
    kept = list[Any]()
    conversation = Conversation(context, clock, 5.0, on_kept=lambda *one: kept.append(one), use_persona=cast.use)

    def logits(persona: str, words: str) -> Any:
        rows = backbone.token_rows(backbone.tokenize(words, special=False))
        draft = Draft(Turn(1, 0, "wake_word", (words,), persona=persona), rows, True, True, False, (0, 0))
        conversation.settle(draft)
        context.prefill(draft)
        return backbone.logits().copy()

    first = logits("", "Who are you?")
    assert cast.current == MAX
    of_eva = logits("eva", "Who are you?")
    assert (cast.current, changes, kept) == (EVA, [EVA], [(None, "")])
    assert not np.array_equal(first, of_eva)
    backbone.rollback(0)
    asked = backbone.tokenize("Who are you?", special=False), backbone.tokenize(backbone.prompt_format.suffix)
    backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(EVA.system))])
    backbone.feed([np.concatenate([backbone.token_rows(ids) for ids in asked])])
    np.testing.assert_array_equal(backbone.logits(), of_eva)
    np.testing.assert_array_equal(logits("max", "Who are you?"), first)


class Heard:
    """A detector whose phrase ends at this time."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns, self.n_reset = at_ns, 0

    def step(self, ring: RingBuffer, to_ns: int, probability: float) -> bool:
        return to_ns == self.at_ns

    def reset(self) -> None:
        self.n_reset += 1


def test_wake_words_tell_who_was_called_last() -> None:
    detectors: Any = {"max": Heard(1), "eva": Heard(2)}
    words, ring = WakeWords(detectors), RingBuffer(1)
    assert (words.step(ring, 0, 1.0), words.called) == (False, "")
    assert (words.step(ring, 2, 1.0), words.called) == (True, "eva")
    assert (words.step(ring, 3, 1.0), words.called) == (False, "eva")
    assert (words.step(ring, 1, 1.0), words.called) == (True, "max")
    words.reset()
    assert [one.n_reset for one in detectors.values()] == [1, 1]


def test_wake_words_of_one_length_have_the_sound_encoded_once() -> None:
    encoded = list[Any]()
    encode = EncodedOnce(lambda pcm: encoded.append(pcm) or len(encoded))  # type: ignore[arg-type,return-value]
    sound = np.ones(8, np.float32)
    assert [encode(sound), encode(sound.copy()), encode(sound[:4]), encode(sound)] == [1, 1, 2, 3]


def test_voices_of_which_one_speaks_have_one_rate() -> None:
    def voice(name: str, rate_hz: int = 22_050) -> Any:
        return SimpleNamespace(rate_hz=rate_hz, speed=1.0, speak=lambda clauses: iter([name]))

    voices: Any = Voices({"joe": voice("joe"), "amy": voice("amy")})
    voices.speed = 1.5
    assert [*voices.speak(["Hello."])] == ["joe"]
    voices.use("amy")
    assert [*voices.speak(["Hello."])] == ["amy"]
    with pytest.raises(InputError, match="one sample rate"):
        Voices({"joe": voice("joe"), "low": voice("low", 16_000)})

"""What a double tap recalls: the last reply again, or the sound that came after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from glasses.assistant.setup import MemoryRecall, open_listener
from glasses.assistant.turn_encoder import no_recall
from glasses.errors import ModelError, Reason
from glasses.events import Draft
from glasses.types import NS_PER_S, Latents, Turn

PARTS: Any = SimpleNamespace(bundle=SimpleNamespace(memory_intent=None))
NO_WORDS, WORDS = np.zeros((0, 4), np.float32), np.ones((3, 4), np.float32)
SOUND = Latents(20 * NS_PER_S, NS_PER_S, "sound", np.ones((2, 4), np.float32), "sound:0")


class Memory:
    """Stands in for MemoryWriter: one sound, from its time on."""

    def recall(self, intent: str, before_ns: int) -> tuple[Latents, ...]:
        return (SOUND,) if intent == "sound" and SOUND.t_ns < before_ns else ()

    def recall_last(self, before_ns: int) -> tuple[Latents, ...]:
        return self.recall("sound", before_ns)


@pytest.mark.parametrize(
    ("words", "cause", "at_s", "intent", "recalled"),
    [
        (NO_WORDS, "double_tap", 15, "repeat", ()),
        (NO_WORDS, "tap", 15, "", ()),
        (WORDS, "double_tap", 15, "", ()),
        (NO_WORDS, "double_tap", 25, "", (SOUND,)),  # something was heard since
        (NO_WORDS, "double_tap", 5, "repeat", ()),
        (NO_WORDS, "double_tap", 200, "", (SOUND,)),  # too long ago
    ],
)
def test_memory_recall_double_tap_after_a_reply_repeats_it(
    words: Any, cause: str, at_s: int, intent: str, recalled: tuple[Latents, ...]
) -> None:
    """A sound heard since the reply is recalled instead."""
    memory: Any = Memory()
    recalling = MemoryRecall(PARTS, memory, keep_replies=True)
    recalling.said(1, "The first.", 2 * NS_PER_S)
    recalling.said(2, "Exactly this, and no other word.", 4 * NS_PER_S)
    assert recalling.recall(words, cause, at_s * NS_PER_S) == (intent, recalled)
    draft = Draft(Turn(3, at_s * NS_PER_S, cause, ()), WORDS, True, True, False, (0, 0), "repeat" if intent else "")
    assert recalling.instead(draft) == ("Exactly this, and no other word." if intent else "")


def test_memory_recall_keeps_no_reply_unless_asked_and_forgets_when_told() -> None:
    for recalling in (MemoryRecall(PARTS, None), MemoryRecall(PARTS, None, keep_replies=True)):
        recalling.said(1, "A secret.", 4 * NS_PER_S)
        recalling.forget()
        assert recalling.recall(NO_WORDS, "double_tap", 5 * NS_PER_S) == ("", ())
    silent = MemoryRecall(PARTS, None)
    silent.said(1, "A secret.", 4 * NS_PER_S)
    assert silent.recall(NO_WORDS, "double_tap", 5 * NS_PER_S) == ("", ())


def test_open_listener_request_without_addressee_head_is_refused() -> None:
    """Without the head everything that is said would be answered."""
    bundle = SimpleNamespace(name="mine", addressee=None, vad="vad", end_of_turn=None)
    loaded: Any = SimpleNamespace(bundle=bundle)
    with pytest.raises(ModelError, match="mine has no addressee head") as refused:
        open_listener(loaded, "request", no_recall)
    assert refused.value.reason is Reason.NOT_FOUND

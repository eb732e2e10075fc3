"""What a worn pair hears with, live or from a recording: the ear with its heads; what turns are given of the memory.

Knows no device, no thread and no command line.
"""

from __future__ import annotations

from glasses import store
from glasses.app import Parts, open_for_me, open_turn_end, open_wake, open_wishes
from glasses.ear import Ear, Recall
from glasses.gates.turns import TurnGate
from glasses.gates.voice import VoiceDetector
from glasses.gates.wishes import Wish
from glasses.remembering import Remembering
from glasses.signals import Draft
from glasses.types import Float32Array, Latents

ADDRESS = ("touch", "wake", "request", "speech")  # what opens a turn
CONFIRM_WIPE = "Touch me now, and I forget everything."
_SETTLED_NS = 500_000_000  # a sound that ends as the wearer begins to speak lies this far into the turn


def open_ear(parts: Parts, address: str, recall: Recall) -> Ear:
    """The ear for a way of ADDRESS. Raises ModelError: NOT_FOUND (no phrase was taught), CORRUPT, WRONG_SPACE."""
    detector = VoiceDetector(store.path_of(parts.bundle.voice_gate))
    gate = TurnGate(on_speech=address in ("speech", "request"))
    ear = Ear(parts, detector, gate, open_turn_end(parts), recall)
    ear.wake = open_wake(parts) if address == "wake" else None
    ear.for_me = open_for_me(parts) if address == "request" else None
    return ear


class Recalling:
    """What is asked of the memory, what it gives, and what is said to that; without a memory nothing."""

    def __init__(self, parts: Parts, memory: Remembering | None) -> None:
        """Raises ModelError from the wishes' heads."""
        self._memory = memory
        self._wishes = open_wishes(parts)

    def recall(self, words: Float32Array, cause: str, t_ns: int) -> tuple[Wish, tuple[Latents, ...]]:
        """What a turn is given of the memory: by touch, or because of what was said, judged on its rows."""
        if self._memory is None:
            return "", ()
        wish = self._wishes.of(words) if self._wishes and len(words) else ""
        before_ns = t_ns + _SETTLED_NS
        if cause == "double" and wish in ("", "sound"):
            return wish, self._memory.last(before_ns)
        return wish, self._memory.recall(wish, before_ns)

    def instead(self, draft: Draft) -> str:
        """What is said without asking the backbone; "" is nothing."""
        return CONFIRM_WIPE if self._memory and draft.wish == "wipe" else ""

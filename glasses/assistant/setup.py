"""What a worn pair hears with, live or from a recording: the ear with its heads; what turns are given of the memory.

Knows no device, no thread and no command line.
"""

from __future__ import annotations

from glasses.assistant.listener import Listener, Recall
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.vad import Vad
from glasses.events import Draft, MemoryIntent, Outcome
from glasses.memory.latent_memory import PastReplies, PastReply
from glasses.memory.writer import WITHIN_S, MemoryWriter
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle, open_addressee, open_end_of_turn, open_memory_intent, open_wake_word
from glasses.types import Float32Array, Latents

ACTIVATION = ("touch", "wake", "request", "speech")  # what opens a turn
CONFIRM_WIPE = "Touch me now, and I forget everything."
SAID = (Outcome.COMPLETED, Outcome.INTERRUPTED)  # outcomes of a reply of which something was heard
_SETTLED_NS = 500_000_000  # a sound that ends as the wearer begins to speak lies this far into the turn


def open_listener(loaded: LoadedBundle, address: str, recall: Recall) -> Listener:
    """The ear for a way of ADDRESS. Raises ModelError: NOT_FOUND (no phrase was taught), CORRUPT, WRONG_SPACE."""
    detector = Vad(store.path_of(loaded.bundle.vad))
    gate = TurnManager(on_speech=address in ("speech", "request"))
    ear = Listener(loaded, detector, gate, open_end_of_turn(loaded), recall)
    ear.wake = open_wake_word(loaded) if address == "wake" else None
    ear.for_me = open_addressee(loaded) if address == "request" else None
    return ear


class MemoryRecall:
    """What is asked of the memory, what it gives, and what is said to that; without a memory nothing.

    With a `transcript` its own last replies are kept as text: a double touch right after one says it again, word for
    word, where no other sound was heard since.
    """

    def __init__(self, loaded: LoadedBundle, memory: MemoryWriter | None, *, transcript: bool = False) -> None:
        """Raises ModelError from the wishes' heads."""
        self._memory = memory
        self._wishes = open_memory_intent(loaded)
        self._replies = PastReplies() if transcript else None

    def said(self, turn_id: int, text: str, decided_ns: int) -> None:
        """The reply to a turn that was decided on then; kept where there is a transcript."""
        if self._replies and text:
            self._replies.add(PastReply(decided_ns, turn_id, text))

    def forget(self) -> None:
        """The transcript, not the memory."""
        if self._replies:
            self._replies.wipe()

    def recall(self, words: Float32Array, cause: str, t_ns: int) -> tuple[MemoryIntent, tuple[Latents, ...]]:
        """What a turn is given of the memory: by touch, or because of what was said, judged on its rows."""
        if cause == "double_tap" and not len(words) and self._last_heard_was_its_own(t_ns + _SETTLED_NS):
            return "repeat", ()
        if self._memory is None:
            return "", ()
        wish = self._wishes.of(words) if self._wishes and len(words) else ""
        before_ns = t_ns + _SETTLED_NS
        if cause == "double_tap" and wish in ("", "sound"):
            return wish, self._memory.recall_last(before_ns)
        return wish, self._memory.recall(wish, before_ns)

    def instead(self, draft: Draft) -> str:
        """What is said without asking the backbone; "" is nothing."""
        if draft.memory_intent == "repeat" and self._replies and (last := self._replies.last()):
            return last[0].text
        return CONFIRM_WIPE if self._memory and draft.memory_intent == "wipe" else ""

    def _last_heard_was_its_own(self, before_ns: int) -> bool:
        """Whether it spoke a while ago, and nothing that is no voice was heard since."""
        last = self._replies.last() if self._replies else []
        if not last or before_ns - last[0].t_ns > WITHIN_S * 1e9:
            return False
        heard = self._memory.recall("sound", before_ns) if self._memory else ()
        return not heard or heard[0].t_ns < last[0].t_ns

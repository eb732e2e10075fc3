"""Builds the Listener and its classifier heads, and decides which memories to add to a turn."""

from __future__ import annotations

from collections.abc import Mapping

from glasses.assistant.config import Activation
from glasses.assistant.follow_ups import FollowUpJudge
from glasses.assistant.listener import Listener
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.turn_encoder import Recall, TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.vad import Vad
from glasses.errors import ModelError, Reason
from glasses.events import Draft, MemoryIntent, Outcome
from glasses.memory.latent_memory import PastReplies, PastReply
from glasses.memory.writer import WITHIN_S, MemoryWriter
from glasses.model_store import store
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.heads import (
    DEFAULT_WAKE_WORD,
    open_addressee,
    open_end_of_turn,
    open_memory_intent,
    open_speaker,
    open_wake_words,
)
from glasses.types import Float32Array, Latents

CONFIRM_WIPE = "Touch me now, and I forget all that I heard and saw. Your notes stay."
SAID = (Outcome.COMPLETED, Outcome.INTERRUPTED)  # outcomes of a reply of which something was heard
_SETTLED_NS = 500_000_000  # a sound that ends as the wearer begins to speak lies this far into the turn


def open_listener(
    loaded: LoadedBundle,
    activation: Activation,
    recall: Recall,
    *,
    config: ListenerConfig | None = None,
    wake_words: Mapping[str, str] | None = None,
) -> Listener:
    """The Listener for what starts a turn; `recall` gives its turns what they ask of the memory. `wake_words`: the
    names of those that were trained, by the persona that each calls.

    Raises ModelError: NOT_FOUND (no wake word was trained; the bundle has no addressee head, which "request" needs),
    CORRUPT, WRONG_SPACE.
    """
    config = config or ListenerConfig()
    addressee = open_addressee(loaded) if activation == "request" else None
    if activation == "request" and addressee is None:  # without it everything that is said would be answered
        raise ModelError(
            Reason.NOT_FOUND,
            f"the bundle {loaded.bundle.name} has no addressee head, so it cannot tell requests from other speech: "
            "use --activation button or wake-word, or speech to have everything answered",
        )
    on_speech = activation in ("speech", "request")
    encoder = TurnEncoder(
        loaded,
        end_of_turn=open_end_of_turn(loaded),
        addressee=addressee,
        follow_ups=None if on_speech else open_follow_ups(loaded),
        recall=recall,
        config=config,
    )
    words = open_wake_words(loaded, wake_words or {"": DEFAULT_WAKE_WORD}) if activation == "wake-word" else None
    return Listener(
        Vad(store.path_of(loaded.bundle.vad)),
        TurnManager(on_speech=on_speech),
        encoder,
        wake_word=words,
        persona=lambda: words.called if words else "",
        config=config,
    )


def open_follow_ups(loaded: LoadedBundle) -> FollowUpJudge:
    """What tells the wearer's follow-ups from other speech. Raises ModelError: NOT_FOUND, CORRUPT, WRONG_SPACE."""
    speaker = open_speaker(loaded)
    return FollowUpJudge(speaker.encode if speaker else None, open_addressee(loaded))


class MemoryRecall:
    """Maps what a turn asks of the memory to latents to recall and to a canned reply; without a memory, to nothing.

    With `keep_replies` the assistant's last replies are kept as text: a double tap right after one says it again, word
    for word, unless another sound was heard since.
    """

    def __init__(self, loaded: LoadedBundle, memory: MemoryWriter | None, *, keep_replies: bool = False) -> None:
        """Raises ModelError from the memory-intent heads."""
        self._memory = memory
        self._intents = open_memory_intent(loaded)
        self._replies = PastReplies() if keep_replies else None

    def said(self, turn_id: int, text: str, decided_ns: int) -> None:
        """Takes the reply to the turn decided on at `decided_ns`; it is kept only with a transcript."""
        if self._replies and text:
            self._replies.add(PastReply(decided_ns, turn_id, text))

    def forget(self) -> None:
        """Drops the replies that are kept; the memory stays."""
        if self._replies:
            self._replies.wipe()

    def recall(self, words: Float32Array, cause: str, t_ns: int) -> tuple[MemoryIntent, tuple[Latents, ...]]:
        """What a turn asks of the memory, by double tap or judged on the rows of its speech, and what it gets."""
        if cause == "double_tap" and not len(words) and self._last_heard_was_its_own(t_ns + _SETTLED_NS):
            return "repeat", ()
        if self._memory is None:
            return "", ()
        intent = self._intents.of(words) if self._intents and len(words) else ""
        before_ns = t_ns + _SETTLED_NS
        if cause == "double_tap" and intent in ("", "sound"):
            return intent, self._memory.recall_last(before_ns)
        return intent, self._memory.recall(intent, before_ns)

    def instead(self, draft: Draft) -> str:
        """The reply that is said instead of asking the backbone; "" is none."""
        if draft.memory_intent == "repeat" and self._replies and (last := self._replies.last()):
            return last[0].text
        return CONFIRM_WIPE if self._memory and draft.memory_intent == "wipe" else ""

    def _last_heard_was_its_own(self, before_ns: int) -> bool:
        """Whether the assistant spoke a while ago, and no sound other than voices was heard since."""
        last = self._replies.last() if self._replies else []
        if not last or before_ns - last[0].t_ns > WITHIN_S * 1e9:
            return False
        heard = self._memory.recall("sound", before_ns) if self._memory else ()
        return not heard or heard[0].t_ns < last[0].t_ns

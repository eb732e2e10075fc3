"""Turns the sound and picture of a turn into a prompt: encode, connect, classify, assemble.

The same second of sound may be encoded three times, each for its own use: in the drafts of a turn here, in the windows
of the wake-word detector, and by the memory's writer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from glasses.assistant.follow_ups import MOST, UNLIKE, FollowUpJudge
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.speculator import DraftState
from glasses.assistant.turn_manager import SURE
from glasses.assistant.view_encoder import EncodedView, ViewEncoder
from glasses.audio.loudness import is_audible
from glasses.events import MemoryIntent
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import ConnectedInput, rows_of, view_and_words
from glasses.types import NS_PER_MS, Float32Array, Frame, Latents, Turn

NOT_ADDRESSED_COMPLETENESS = (
    SURE - 0.01
)  # at most, of speech addressed to others: its next words are no turn of their own

Head = Callable[[Latents], float]  # latents of what was said -> probability
# Rows of what was said (the speech connector's), the turn's cause and start -> what it asks of the memory, and latents.
Recall = Callable[[Float32Array, str, int], tuple[MemoryIntent, tuple[Latents, ...]]]


def no_recall(rows: Float32Array, cause: str, t_ns: int) -> tuple[MemoryIntent, tuple[Latents, ...]]:
    """Gives a turn nothing of the memory."""
    del rows, cause, t_ns
    return "", ()


@dataclass(frozen=True, slots=True)
class EncodedTurn:
    """The turn as it stands, and the user's rows float32 (n, n_embd) in its prompt.

    `completeness`: probability that the words are a complete sentence; None without a head, or for a part of a turn.
    `unseen`: why nothing can be made out in its picture, as a sentence to the wearer; else "". `n_view_rows`: how many
    of the rows come up to the last picture, before the words.
    """

    turn: Turn
    rows: Float32Array
    completeness: float | None = None
    memory_intent: MemoryIntent = ""
    unseen: str = ""
    n_view_rows: int = 0


class TurnEncoder:
    """One turn at a time: `begin` it, then `encode` its sound as often as wanted."""

    def __init__(
        self,
        loaded: LoadedBundle,
        *,
        end_of_turn: Head | None = None,
        addressee: Head | None = None,
        follow_ups: FollowUpJudge | None = None,
        recall: Recall = no_recall,
        config: ListenerConfig | None = None,
    ) -> None:
        """`addressee` judges turns that speech started, `follow_ups` those that went on without a touch where one is
        needed; without them all are answered.
        """
        self._loaded, self._end_of_turn, self._addressee, self._recall = loaded, end_of_turn, addressee, recall
        self._follow_ups, self._is_follow_up = follow_ups, False
        self._config = config or ListenerConfig()
        self.turn_id, self.start_ns, self.cause = 0, 0, "tap"
        self._frame: Frame | None = None  # newest
        self._views = ViewEncoder(loaded)
        self._view: EncodedView | None = None  # the picture that the turn is about
        self._seen: list[ConnectedInput] = []  # its latents: their rows are the same in every draft
        self._before: tuple[Latents, ...] = ()  # of the sound before the activation
        self._addressed = 1.0
        self._unencoded: Float32Array | None = None  # the last draft's sound, where the sound encoder has not heard it

    @property
    def is_addressed(self) -> bool:
        """Whether the turn is addressed to the assistant, as far as it is known."""
        return self._addressed >= self._config.addressed_probability

    @property
    def view(self) -> Frame | None:
        """The picture that the turn is about."""
        return self._view.frame if self._view else None

    @property
    def most_follow_ups(self) -> int:
        """How many turns without a touch may follow the one that was activated."""
        return self._follow_ups.most if self._follow_ups else MOST

    def remember_voice(self, pcm: Float32Array) -> None:
        """Takes what was said in the turn, from its first word on: the wearer's voice, where the turn was activated."""
        if self._follow_ups and not self._is_follow_up:
            self._follow_ups.remember(pcm)

    def is_somebody_else(self, pcm: Float32Array) -> bool:
        """Whether the sound of the turn so far is surely not the wearer's, where speech alone began it."""
        if self._follow_ups is None or not self._is_follow_up:
            return False
        similarity = self._follow_ups.similarity(pcm)
        return similarity is not None and similarity < UNLIKE

    def touched(self, press: str) -> None:
        """The wearer touched during the turn: whatever began it, it is theirs."""
        if self.cause == "speech":
            self.cause = press
        self._addressed, self._is_follow_up = 1.0, False

    def begin(self, cause: str, activated_ns: int, start_ns: int, *, is_follow_up: bool = False) -> None:
        """A new turn, whose sound starts at `start_ns`; `is_follow_up`: it needs an activation, and has none."""
        self.turn_id += 1
        self._is_follow_up = is_follow_up
        if self._follow_ups and not is_follow_up:
            self._follow_ups.forget()
        self.cause, self.start_ns = cause, start_ns
        self._view, self._seen, self._before, self._addressed = None, [], (), 1.0
        if self._frame is not None and activated_ns - self._frame.t_ns > self._config.frame_max_age_ms * NS_PER_MS:
            self._frame = None

    def encode_before(self, pcm: Float32Array, t_ns: int) -> None:
        """Takes the sound before the activation, which the turn may be about.

        It is encoded now, while the user begins to speak: that costs no time afterwards. Raises as the encoders do.
        """
        if is_audible(pcm):
            self._before = self._loaded.encode_audio(pcm, t_ns)

    def see(self, frame: Frame, *, wanted: bool) -> bool:
        """Takes a picture; True where it is `wanted` and becomes the turn's. Raises as the encoder does."""
        self._frame = frame
        if not wanted or self._view is not None:
            return False
        self._look(frame)
        return True

    def forget(self) -> None:
        """Drops every sound and picture that is held."""
        self._frame, self._view, self._seen, self._before, self._unencoded = None, None, [], (), None
        if self._follow_ups:
            self._follow_ups.forget()

    def encode(self, pcm: Float32Array, end_ns: int, state: DraftState, *, wants_image: bool) -> EncodedTurn:
        """The turn of the sound float32 (N,) up to `end_ns`. Raises ModelError and InputError as the encoders do."""
        speech = self._loaded.audio_encoder.encode(pcm, self.start_ns)
        completeness = self._classify(pcm, speech) if state is not DraftState.PARTIAL else None
        if state is not DraftState.PARTIAL and wants_image and self._view is None and self._frame is not None:
            self._look(self._frame)  # none came after the activation
        words = self._loaded.speech_connector.apply(speech)
        heard: tuple[Latents, ...] = (speech,)
        self._unencoded = pcm if len(words) and state is not DraftState.FINAL else None
        if (
            self._unencoded is None
        ):  # beside words the other sounds are not in the rows: they can wait for the final draft
            heard = (*heard, self._loaded.sound_encoder.encode(pcm, self.start_ns))
        seen = self._view.latents(self._config.view_wait_ms / 1000) if self._view and wants_image else ()
        self._connect(seen)
        intent, recalled = self._recall(words, self.cause, self.start_ns)
        if (intent == "sound" and self._before) or (intent == "picture" and seen):
            recalled = ()  # what was heard right before the activation, or is looked at, is what is meant
        turn = Turn(self.turn_id, end_ns, self.cause, (*seen, *recalled, *self._before, *heard))
        reads = any(one.modality == "text" for one in seen)  # what can be read can be seen
        unseen = self._view.unseen if self._view and seen and not reads else ""
        rows, n_view_rows = self._rows(turn, speech, words)
        return EncodedTurn(turn, rows, completeness, intent, unseen, n_view_rows)

    def with_all_latents(self, turn: Turn) -> Turn:
        """The turn of the last draft with the latents that its rows did not need."""
        if self._unencoded is None:
            return turn
        return replace(turn, inputs=(*turn.inputs, self._loaded.sound_encoder.encode(self._unencoded, self.start_ns)))

    def _classify(self, pcm: Float32Array, speech: Latents) -> float | None:
        if self._is_follow_up:
            self._addressed = float(self._follow_ups is None or self._follow_ups.is_wearer(pcm, speech))
        elif self._addressee is not None and self.cause == "speech":
            self._addressed = self._addressee(speech)
        if self._end_of_turn is None:
            return None
        return min(self._end_of_turn(speech), 1.0 if self.is_addressed else NOT_ADDRESSED_COMPLETENESS)

    def _look(self, frame: Frame) -> None:
        self._view = self._views.encode(frame)

    def _connect(self, seen: tuple[Latents, ...]) -> None:
        for one in seen:
            if not any(before.latents is one for before in self._seen):
                self._seen.append(ConnectedInput(one, self._loaded.connectors[one.modality].apply(one)))

    def _rows(self, turn: Turn, speech: Latents, words: Float32Array) -> tuple[Float32Array, int]:
        connected = {id(one.latents): one for one in (ConnectedInput(speech, words), *self._seen)}
        view, said = view_and_words(self._loaded, [connected.get(id(one), one) for one in turn.inputs])
        return rows_of(self._loaded.backbone, [*view, *said]), sum(map(len, view))

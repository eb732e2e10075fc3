"""The listening half of the pipeline: sensor events in order of time become drafts of a turn and turn events.

`Listener` routes: the `TurnManager` decides when a turn starts and ends, the `Speculator` when a draft is made, and the
`TurnEncoder` makes it. All run on one thread, live or from a recording, on the sound's own clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from glasses.assistant.follow_ups import EARLY_MS
from glasses.assistant.heard_sound import HeardSound
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.speculator import Decision, DraftState, Speculator
from glasses.assistant.turn_encoder import TurnEncoder
from glasses.assistant.turn_manager import TurnChange, TurnManager
from glasses.assistant.turn_states import LONGEST_MS, TurnState
from glasses.audio.ring_buffer import RingBuffer
from glasses.audio.silence_predictor import SilencePredictor
from glasses.audio.vad import SPEECH, Vad
from glasses.events import Announced, Draft, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal, TurnSpan
from glasses.types import (
    NS_PER_MS,
    AudioChunk,
    Button,
    Float32Array,
    Frame,
    SensorEvent,
)


class WakeWord(Protocol):
    """Tells when the wake word has just been said: heads.wake_word.WakeWordDetector."""

    def step(self, ring: RingBuffer, to_ns: int, probability: float, /) -> bool:
        """Sound in `ring` up to `to_ns`, whose last step is speech with `probability`."""
        ...

    def reset(self) -> None:
        """A turn started."""
        ...


class Listener:
    """`feed` it one event at a time; signals come back in order."""

    def __init__(
        self,
        vad: Vad,
        turns: TurnManager,
        encoder: TurnEncoder,
        *,
        wake_word: WakeWord | None = None,
        persona: Callable[[], str] = lambda: "",
        config: ListenerConfig | None = None,
        predictor: SilencePredictor | None = None,
    ) -> None:
        """`wake_word` starts a turn as a button press does; None: none is listened for. `persona`: whom a turn that
        begins now is for.
        """
        self._turns, self._encoder, self._wake_word, self._persona = turns, encoder, wake_word, persona
        self._called = ""  # whom the open turn is for
        self._config = config or ListenerConfig()
        self._speculator = Speculator(self._config, predictor or SilencePredictor())
        self._sound = HeardSound(vad, (2 * LONGEST_MS + self._config.before_ms) // 1000)
        self._talk_steps = self._talk_until_ns = 0  # steps of speech without a break; where the last talk ended
        self._judged_ns = 0  # when it was last looked at whose voice the open turn is
        self._done_ns = 0  # sound up to here belongs to earlier turns
        self._draft: Draft | None = None
        self._completeness: float | None = None

    @property
    def turn_id(self) -> int:
        """Of the turn that is open, or was last."""
        return self._encoder.turn_id

    @property
    def replying(self) -> bool:
        """Whether a reply is being made or said."""
        return self._turns.is_replying

    @property
    def is_idle(self) -> bool:
        """Whether no turn is open and nothing is said."""
        return self._turns.state is TurnState.IDLE

    @property
    def last_draft(self) -> Draft | None:
        """Of the turn that is open, or was last."""
        return self._draft

    @property
    def hears_speech(self) -> bool:
        """Whether the last step of sound was speech."""
        return self._talk_steps > 0

    def feed(self, event: SensorEvent | ReplyState | Announced, *, own_voice: bool = False) -> list[Signal]:
        """Takes one event; `own_voice`: its sound is the reply itself, which is nobody's speech.

        Raises InputError for sound of another rate or type, ModelError from the encoders.
        """
        if isinstance(event, AudioChunk):
            return self._hear(event, own_voice)
        if isinstance(event, Button):
            return self._touched(event)
        if isinstance(event, Frame):
            if self._encoder.see(event, wanted=self._turns.is_open and self._turns.wants_image):
                self._speculator.cancel()
        elif isinstance(event, Announced):
            self._turns.most_follow_ups = self._encoder.most_follow_ups
            self._turns.announced(event.t_ns, begun=event.state == "begun")
        elif event.turn_id == self.turn_id:
            if event.state == "audible":
                self._turns.reply_audible(event.t_ns)
            else:
                self._turns.most_follow_ups = self._encoder.most_follow_ups
                self._turns.reply_finished(event.t_ns)
        return []

    def tick(self, now_ns: int) -> list[Signal]:
        """The clock; call it also where no sound comes."""
        return [signal for change in self._turns.tick(now_ns) for signal in self._follow(change)]

    def forget(self, now_ns: int) -> list[Signal]:
        """Muted or wiped: drops the open turn, and every sample, picture and voice that is held."""
        self._draft = None
        self._sound.forget()
        self._encoder.forget()
        self._speculator.forget()
        return [TurnSignal(TurnEvent.TIMED_OUT, now_ns, self.turn_id)] if self._turns.drop(now_ns) else []

    def lose_microphone(self, now_ns: int) -> list[Signal]:
        """The microphone is gone: a turn in which nobody has spoken yet would be a turn about nothing."""
        unheard = self._turns.is_open and self._turns.spoken_ns is None
        return [TurnSignal(TurnEvent.TIMED_OUT, now_ns, self.turn_id)] if unheard and self._turns.drop(now_ns) else []

    def _touched(self, event: Button) -> list[Signal]:
        """A touch starts a turn, or makes an open one the wearer's; somebody else's that is open gives way."""
        signals: list[Signal] = []
        if self._turns.is_open:
            if self._encoder.is_somebody_else(self._sound_of_turn(event.t_ns, 0)):
                signals = self._dismiss(event.t_ns)
            else:
                self._encoder.touched(event.press)
        change = self._turns.touch(event.t_ns, wants_image=event.press == "long_press")
        return [*signals, *(self._follow(change, cause=event.press) if change else [])]

    def _hear(self, chunk: AudioChunk, own_voice: bool) -> list[Signal]:
        signals: list[Signal] = []
        for from_ns, to_ns, speech in self._sound.steps(chunk):
            probability = 0.0 if own_voice else speech
            is_speech = probability >= SPEECH
            self._talk_steps = self._talk_steps + 1 if is_speech else 0
            if self._talk_steps >= self._config.talk_steps:
                self._talk_until_ns = to_ns + self._config.after_talk_ms * NS_PER_MS
            if self._speculator.hear(self._sound.ring.between(from_ns, to_ns), is_speech=is_speech):
                self._turns.set_completeness(None)
            for change in self._turns.step(from_ns, to_ns, probability):
                signals += self._follow(change)
            signals += self._listen_for_wake_word(to_ns, probability)
            signals += self._draft_while_open(to_ns)
        return signals

    def _listen_for_wake_word(self, now_ns: int, probability: float) -> list[Signal]:
        """The wake word starts a turn as a button press now would; nothing of the wake word goes into the turn."""
        is_unasked = self._turns.is_open and self._turns.is_follow_up
        if self._wake_word is None or not (is_unasked or self._turns.state is TurnState.IDLE):
            return []
        if not self._wake_word.step(self._sound.ring, now_ns, probability):
            return []
        self._wake_word.reset()
        signals = self._dismiss(now_ns) if is_unasked else []
        change = self._turns.wake(now_ns)
        return [*signals, *(self._follow(change, cause="wake_word") if change else [])]

    def _follow(self, change: TurnChange, cause: str = "speech") -> list[Signal]:
        """What a change of the turn means for its drafts, and what the responder is told."""
        if change.event is TurnEvent.SILENCE_STARTED:
            return self._pause(change.t_ns)
        if change.event is TurnEvent.TURN_COMPLETED and change.span:
            return self._complete(change.span)
        signal = TurnSignal(change.event, change.t_ns, self.turn_id, change.continues_turn)
        if change.event is TurnEvent.TURN_STARTED:
            self._begin(change.t_ns, cause)
            return [replace(signal, turn_id=self.turn_id)]
        if change.event is TurnEvent.INTERRUPTED and change.continues_turn:
            self._draft = None
            self._speculator.continue_turn(change.t_ns)
        elif change.event is TurnEvent.INTERRUPTED:
            self._begin(self._turns.activated_ns, "barge_in")
        return [signal]

    def _begin(self, activated_ns: int, cause: str) -> None:
        self._draft, self._called = None, self._persona()
        start_ns = max(activated_ns - self._config.lead_ms * NS_PER_MS, self._done_ns)
        self._speculator.begin_turn(start_ns)
        self._encoder.begin(cause, activated_ns, start_ns, is_follow_up=self._turns.is_follow_up)
        self._judged_ns = activated_ns
        if cause not in ("speech", "barge_in"):
            earliest_ns = start_ns - self._config.before_ms * NS_PER_MS
            before_ns = max(earliest_ns, self._done_ns, self._sound.ring.begin_ns, self._talk_until_ns)
            self._encoder.encode_before(self._sound.ring.between(before_ns, start_ns), before_ns)

    def _draft_while_open(self, now_ns: int) -> list[Signal]:
        """After each step of an open turn in which somebody has spoken."""
        turns, speculator = self._turns, self._speculator
        if not turns.is_open or turns.spoken_ns is None:
            return []
        if now_ns - self._judged_ns >= EARLY_MS * NS_PER_MS:
            self._judged_ns = now_ns
            if self._encoder.is_somebody_else(self._sound_of_turn(now_ns, 0)):
                return self._dismiss(now_ns)
        decision = speculator.decide(now_ns, turns.spoken_ns[1])
        if decision is Decision.KEEP:
            turns.set_completeness(self._completeness)
        elif decision is Decision.RETRACT and self._draft:
            self._draft = replace(self._draft, may_be_complete=False, is_final=False)
            return [self._draft]
        elif decision in (Decision.SPECULATE, Decision.EXTEND):
            quiet_ns = self._config.tail_ms * NS_PER_MS - (now_ns - turns.spoken_ns[1])
            draft = (
                self._make(now_ns, DraftState.SPECULATIVE, quiet_ns=quiet_ns)
                if decision is Decision.SPECULATE
                else self._make(now_ns, DraftState.PARTIAL)
            )
            speculator.schedule(now_ns, draft.work_ns[1] - draft.work_ns[0])
            return [draft]
        return []

    def _pause(self, now_ns: int) -> list[Signal]:
        """The user may be done: the final draft, which a speculative one may be already."""
        spoken_ns, tail_ns = self._turns.spoken_ns, self._config.tail_ms * NS_PER_MS
        until_ns = min(spoken_ns[1] + tail_ns, now_ns) if spoken_ns else now_ns
        if self._draft is None or until_ns != now_ns or not self._speculator.promote(until_ns):
            return [self._make(until_ns, DraftState.FINAL)]
        turn = self._encoder.with_all_latents(self._draft.turn)
        self._draft = replace(self._draft, turn=replace(turn, t_ns=until_ns), is_final=True)
        return [self._draft]

    def _complete(self, span: TurnSpan) -> list[Signal]:
        decided_ns = time.monotonic_ns()
        signals: list[Signal] = []
        tail_ns = self._config.tail_ms * NS_PER_MS
        end_ns = min(span.end_ns + tail_ns, span.decided_ns) if span.spoken_ns else span.decided_ns
        draft = self._draft
        if draft is None or not self._speculator.has_final_of(end_ns):
            draft = self._make(end_ns, DraftState.FINAL)
            signals.append(draft)
        self._done_ns = end_ns
        if not self._encoder.is_addressed or self._turns.n_follow_ups > self._turns.most_follow_ups:
            return [*signals, *self._dismiss(span.decided_ns)]
        if span.spoken_ns:
            self._encoder.remember_voice(self._sound.ring.between(span.spoken_ns[0], end_ns))
        view = self._encoder.view if span.wants_image else None
        return [*signals, TurnCompleted(draft.turn, span, view, decided_ns, draft.memory_intent)]

    def _dismiss(self, now_ns: int) -> list[Signal]:
        """The turn that is open, or was just completed, is somebody else's."""
        self._turns.dismiss(now_ns)
        self._speculator.forget()
        self._draft = None
        return [TurnSignal(TurnEvent.NOT_ADDRESSED, now_ns, self.turn_id)]

    def _make(self, end_ns: int, state: DraftState, *, quiet_ns: int = 0) -> Draft:
        """A draft of the sound up to `end_ns`, followed by `quiet_ns` that are assumed to sound as its last 16 ms."""
        began_ns = time.monotonic_ns()
        pcm = self._sound_of_turn(end_ns, quiet_ns)
        encoded = self._encoder.encode(pcm, end_ns, state, wants_image=self._turns.wants_image)
        if encoded.completeness is not None:
            self._completeness = encoded.completeness
            self._turns.set_completeness(encoded.completeness)
        self._speculator.made(state, end_ns)
        self._draft = Draft(
            replace(encoded.turn, persona=self._called),
            encoded.rows,
            may_be_complete=state is not DraftState.PARTIAL,
            is_final=state is DraftState.FINAL,
            follows_interruption=self._encoder.cause == "barge_in",
            work_ns=(began_ns, time.monotonic_ns()),
            memory_intent=encoded.memory_intent,
            unseen=encoded.unseen,
            n_view_rows=encoded.n_view_rows,
        )
        return self._draft

    def _sound_of_turn(self, end_ns: int, quiet_ns: int) -> Float32Array:
        return self._sound.padded(self._encoder.start_ns, end_ns, self._config.min_sound_ms, quiet_ns)

"""THE LIVE SPINE, first half: events of the sensors in order of time become drafts of a turn, turns and interruptions.

While the wearer speaks, what was said so far is encoded and connected again and again, so that the answer can be
prepared; what counts in the end is one encoding of the whole, as everywhere. That is made at the first quiet moment
already, as if silence followed, and stands where it does. Runs on its own thread, and the same from a recording. Knows
no device, no backbone beyond the connectors' rows, and not how an answer is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from glasses.assistant.turn_manager import LONGEST_MS, SURE, TurnChange, TurnManager
from glasses.audio.loudness import is_audible
from glasses.audio.ring_buffer import RingBuffer
from glasses.audio.silence_predictor import END, SilencePredictor
from glasses.audio.vad import SPEECH, STEP_NS, Vad
from glasses.events import Draft, MemoryIntent, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal, TurnSpan
from glasses.heads.wake_word import WakeWordDetector
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import ConnectedInput, prompt_of
from glasses.types import (
    NS_PER_MS,
    NS_PER_S,
    SAMPLE_RATE_HZ,
    AudioChunk,
    Button,
    Float32Array,
    Frame,
    Latents,
    SensorEvent,
    Turn,
)

BEFORE_MS = 4000  # of what was heard before the touch
LEAD_MS = 200  # people begin to speak while they touch: this much before the touch belongs to what is said
TALK_STEPS = 5  # speech for 160 ms on end is talk; of the held-out sounds that are not voices, 2 in 120 reach that
SEEN_MS = 2000  # how old the last picture before a touch may be, where none comes after it
TAIL_MS = 96  # kept after speech: the last consonant is quieter than the detector hears
FIRST_DRAFT_MS = 500  # of speech before there is anything to prepare
DRAFT_EVERY_MS = 300
ASKS = 0.5  # from which probability speech without a touch is answered
UNHURRIED = SURE - 0.01  # at most, of talk that asks for nothing: its next words are no turn of their own
EARLY_MS = 100  # a draft that takes no longer is worth making at the first quiet moment, before it may be the end
LAG_MS = 128  # the voice detector is not later than that
RING_S = (2 * LONGEST_MS + BEFORE_MS) // 1000
_LEAST = SAMPLE_RATE_HZ // 10
_DRAFT_SHARE = 3  # a draft waits this many times what the last one took: the ear must keep up with the sound


Judge = Callable[[Latents], float]  # latents of what was said -> probability that it is complete
# Rows of what was said (a word connector's), why the turn began and when -> the wish in it, and what it is given.
Recall = Callable[[Float32Array, str, int], tuple[MemoryIntent, tuple[Latents, ...]]]


class Listener:
    """`feed` one event at a time; signals come back in order."""

    def __init__(
        self,
        loaded: LoadedBundle,
        detector: Vad,
        gate: TurnManager,
        judge: Judge | None = None,
        recall: Recall = lambda words, cause, t_ns: ("", ()),
    ) -> None:
        """Without `recall` no turn is given anything of the memory."""
        detector.reset()
        self._loaded, self._detector, self._gate, self._judge = loaded, detector, gate, judge
        self._n_suffix = len(loaded.backbone.tokenize(loaded.backbone.prompt_format.suffix))
        self._ring = RingBuffer(RING_S)
        self._steps = self._done_ns = self._talk_ns = self._talk_steps = 0
        self._frame: Frame | None = None
        self._view: tuple[Frame, Latents] | None = None
        self._before: tuple[Latents, ...] = ()
        self._recall = recall
        self._wish: MemoryIntent = ""
        self._turn_id, self._start_ns, self._cause = 0, 0, "tap"
        self._draft: Draft | None = None
        self._draft_due_ns, self._draft_end_ns, self._draft_took_ns = 0, 0, 0
        self._hush, self._complete = SilencePredictor(), 0.0
        self._spoken: Float32Array | None = None  # sound of the last draft that only the audio encoder has heard
        self._guess: Literal["", "hush", "detector"] = ""  # whose guess the last draft is, that nothing more will come
        self.wake: WakeWordDetector | None = None  # hears the phrase that is as good as a touch
        self.for_me: Judge | None = None  # whether speech without a touch asks for something; None: it does
        self._asks = 1.0

    @property
    def turn_id(self) -> int:
        """Of the turn that is open, or was last."""
        return self._turn_id

    @property
    def replying(self) -> bool:
        """Whether a reply is being made or said."""
        return self._gate.state in ("replying", "paused")

    @property
    def last_draft(self) -> Draft | None:
        """Of the turn that is open, or was last."""
        return self._draft

    @property
    def hears_speech(self) -> bool:
        """Whether the last step of sound was speech."""
        return self._talk_steps > 0

    def feed(self, event: SensorEvent | ReplyState, *, own_voice: bool = False) -> list[Signal]:
        """Takes one event; `own_voice`: its sound is the reply itself, which is nobody's speech.

        Raises InputError for sound of another rate or type, ModelError from the encoders.
        """
        if isinstance(event, AudioChunk):
            return self._hear(event, own_voice)
        if isinstance(event, Button):
            return self._touch(event)
        if isinstance(event, Frame):
            self._see(event)
        elif event.turn_id == self._turn_id:
            (self._gate.audible if event.state == "audible" else self._gate.over)(event.t_ns)
        return []

    def tick(self, now_ns: int) -> list[Signal]:
        """Call it where no sound comes."""
        return [signal for change in self._gate.tick(now_ns) for signal in self._changed(change)]

    def forget(self, now_ns: int) -> list[Signal]:
        """Muted: drops the open turn and every sample and picture that is held."""
        self._ring = RingBuffer(RING_S)
        self._detector.reset()
        self._steps, self._frame, self._view, self._before, self._draft, self._spoken = 0, None, None, (), None, None
        return [TurnSignal(TurnEvent.TIMED_OUT, now_ns, self._turn_id)] if self._gate.close(now_ns) else []

    def _see(self, frame: Frame) -> None:
        self._frame = frame
        if self._gate.state == "open" and self._gate.wants_image and self._view is None:
            self._view = frame, self._loaded.image_encoder.encode(frame.rgb, frame.t_ns)
            self._guess = ""

    def _touch(self, button: Button) -> list[Signal]:
        change = self._gate.touch(button.t_ns, wants_image=button.press == "long_press")
        return self._changed(change, cause=button.press) if change else []

    def _hear(self, chunk: AudioChunk, own_voice: bool) -> list[Signal]:
        added = self._ring.append(chunk)
        if added is None:
            self._detector.reset()
            self._steps, added = 0, chunk.pcm
        signals: list[Signal] = []
        for heard in self._detector.feed(added):
            probability = 0.0 if own_voice else heard
            from_ns = self._ring.begin_ns + self._steps * STEP_NS
            self._steps += 1
            self._talk_steps = self._talk_steps + 1 if probability >= SPEECH else 0
            if self._talk_steps >= TALK_STEPS:
                self._talk_ns = from_ns + STEP_NS + 200 * NS_PER_MS
            self._hush.step(self._ring.between(from_ns, from_ns + STEP_NS), speaks=probability >= SPEECH)
            if self._guess and not self._hush.holds:
                self._guess = ""
                self._gate.judge(None)
            for change in self._gate.step(from_ns, from_ns + STEP_NS, probability):
                signals += self._changed(change)
            signals += self._called(from_ns + STEP_NS, probability)
            signals += self._while_speaking(from_ns + STEP_NS)
        return signals

    def _called(self, now_ns: int, probability: float) -> list[Signal]:
        """The wake phrase opens a turn as a touch at this moment would; nothing of the phrase goes into it."""
        if self.wake is None or self._gate.state != "idle" or not self.wake.step(self._ring, now_ns, probability):
            return []
        self.wake.reset()
        return self._changed(self._gate.wake(now_ns), cause="wake_word")

    def _changed(self, change: TurnChange, cause: str = "speech") -> list[Signal]:
        if change.event is TurnEvent.TURN_STARTED:
            self._begin(change.t_ns, cause)
            return [TurnSignal(TurnEvent.TURN_STARTED, change.t_ns, self._turn_id)]
        if change.event is TurnEvent.INTERRUPTED:
            told = TurnSignal(TurnEvent.INTERRUPTED, change.t_ns, self._turn_id, change.continues_turn)
            if change.continues_turn:
                self._draft, self._draft_due_ns, self._guess = None, change.t_ns, ""
            else:
                self._begin(self._gate.activated_ns, "barge_in")
            return [told]
        if change.event is TurnEvent.SILENCE_STARTED:
            return self._dipped(change.t_ns)
        if change.event is TurnEvent.TURN_COMPLETED and change.span:
            return self._ended(change.span)
        return [TurnSignal(change.event, change.t_ns, self._turn_id)]

    def _begin(self, t_ns: int, cause: str) -> None:
        """What lies before the touch is encoded now, while the wearer begins to speak: it costs no time afterwards."""
        self._turn_id += 1
        self._guess = ""
        self._hush.begin()
        self._cause, self._draft, self._view, self._before, self._asks = cause, None, None, (), 1.0
        self._start_ns = max(t_ns - LEAD_MS * NS_PER_MS, self._done_ns)
        self._draft_due_ns = self._start_ns + FIRST_DRAFT_MS * NS_PER_MS
        if self._frame is not None and t_ns - self._frame.t_ns > SEEN_MS * NS_PER_MS:
            self._frame = None
        if cause in ("speech", "barge_in"):
            return
        before_ns = max(self._start_ns - BEFORE_MS * NS_PER_MS, self._done_ns, self._ring.begin_ns, self._talk_ns)
        before = self._ring.between(before_ns, self._start_ns)
        if is_audible(before):
            self._before = self._loaded.encode_audio(before, before_ns)

    def _while_speaking(self, now_ns: int) -> list[Signal]:
        gate = self._gate
        if gate.state != "open" or gate.spoken_ns is None:
            return []
        quiet_ns = now_ns - gate.spoken_ns[1]
        lags = self._guess == "hush" and now_ns - self._draft_end_ns <= LAG_MS * NS_PER_MS
        if self._guess and (quiet_ns > 0 or lags):
            gate.judge(self._complete)
            return []
        self._guess = ""
        if quiet_ns == 0 and self._draft is not None and self._draft.may_be_complete:  # that was not all
            self._draft = replace(self._draft, may_be_complete=False, is_final=False)
            return [self._draft]
        quick = self._draft is not None and 0 < self._draft_took_ns <= EARLY_MS * NS_PER_MS
        if quick and (quiet_ns == STEP_NS or (quiet_ns == 0 and self._hush.quiet)):
            self._guess = "detector" if quiet_ns else "hush"
            self._hush.assume()
            draft = self._made(now_ns, paused=True, quiet_ns=TAIL_MS * NS_PER_MS - quiet_ns)
        elif quiet_ns == 0 and now_ns >= self._draft_due_ns:
            draft = self._made(now_ns, paused=False)
        else:
            return []
        self._draft_took_ns = draft.work_ns[1] - draft.work_ns[0]
        self._draft_due_ns = now_ns + max(DRAFT_EVERY_MS * NS_PER_MS, _DRAFT_SHARE * self._draft_took_ns)
        return [draft]

    def _dipped(self, now_ns: int) -> list[Signal]:
        spoken_ns = self._gate.spoken_ns
        until_ns = min(spoken_ns[1] + TAIL_MS * NS_PER_MS, now_ns) if spoken_ns else now_ns
        if not self._guess or self._draft is None or until_ns != now_ns:
            return [self._made(until_ns, paused=True, final=True)]
        self._guess, self._draft_end_ns = "", until_ns
        turn = self._draft.turn
        if self._spoken is not None:  # what is heard beside words is not in the rows: it could wait
            beside = self._loaded.sound_encoder.encode(self._spoken, self._start_ns)
            turn = replace(turn, inputs=(*turn.inputs, beside))
        self._draft = replace(self._draft, turn=replace(turn, t_ns=until_ns), is_final=True)
        return [self._draft]

    def _ended(self, span: TurnSpan) -> list[Signal]:
        decided_ns = time.monotonic_ns()
        signals: list[Signal] = []
        end_ns = min(span.end_ns + TAIL_MS * NS_PER_MS, span.decided_ns) if span.spoken_ns else span.decided_ns
        if self._draft is None or not self._draft.is_final or self._draft_end_ns != end_ns:
            signals.append(self._made(end_ns, paused=True, final=True))
        assert self._draft is not None
        self._done_ns = end_ns
        if self._asks < ASKS:
            self._gate.dismiss(span.decided_ns)
            return [*signals, TurnSignal(TurnEvent.NOT_ADDRESSED, span.decided_ns, self._turn_id)]
        view = self._view[0] if self._view and span.wants_image else None
        return [*signals, TurnCompleted(self._draft.turn, span, view, decided_ns, self._draft.memory_intent)]

    def _made(self, end_ns: int, *, paused: bool, final: bool = False, quiet_ns: int = 0) -> Draft:
        """A draft of the sound up to `end_ns`, and of `quiet_ns` more that are taken to be as its last 16 ms."""
        began_ns = time.monotonic_ns()
        pcm = self._ring.between(self._start_ns, end_ns)
        if len(pcm) < _LEAST:  # the microphone came back within the turn
            pcm = np.concatenate([pcm, np.zeros(_LEAST - len(pcm), np.float32)])
        if quiet_ns:
            pcm = np.concatenate([pcm, np.resize(pcm[-END:], quiet_ns * SAMPLE_RATE_HZ // NS_PER_S)])
        turn, rows = self._draft_of(pcm, end_ns, whole=paused, final=final)
        if not paused and len(rows) > self._n_suffix:  # more words will come before it
            rows = rows[: -self._n_suffix]
        work_ns = began_ns, time.monotonic_ns()
        self._draft = Draft(turn, rows, paused, final, self._cause == "barge_in", work_ns, self._wish)
        self._draft_end_ns = end_ns
        return self._draft

    def _draft_of(self, pcm: Float32Array, end_ns: int, *, whole: bool, final: bool) -> tuple[Turn, Float32Array]:
        """The turn as it stands, and its rows (n, n_embd) for the backbone; `whole`: it may be all, `final`: it is."""
        said: tuple[Latents, ...] = (self._loaded.audio_encoder.encode(pcm, self._start_ns),)
        if self.for_me is not None and whole and self._cause == "speech":
            self._asks = self.for_me(said[0])
        if self._judge is not None and whole:
            self._complete = min(self._judge(said[0]), UNHURRIED if self._asks < ASKS else 1.0)
            self._gate.judge(self._complete)
        if (
            whole and self._gate.wants_image and self._view is None and self._frame is not None
        ):  # none came after the touch
            self._view = self._frame, self._loaded.image_encoder.encode(self._frame.rgb, self._frame.t_ns)
        words = self._loaded.speech_connector.apply(said[0])
        self._spoken = pcm if len(words) and not final else None
        if self._spoken is None:  # beside words the other sound says nothing: not needed yet
            said = (*said, self._loaded.sound_encoder.encode(pcm, self._start_ns))
        seen = (self._view[1],) if self._view and self._gate.wants_image else ()
        self._wish, recalled = self._recall(words, self._cause, self._start_ns)
        if (self._wish == "sound" and self._before) or (self._wish == "picture" and seen):
            recalled = ()  # what was heard right before the touch, or is looked at, is what is meant
        turn = Turn(self._turn_id, end_ns, self._cause, (*seen, *recalled, *self._before, *said))
        connected = ConnectedInput(said[0], words)
        inputs = prompt_of(self._loaded, [connected if one is said[0] else one for one in turn.inputs])
        rows = [part if isinstance(part, np.ndarray) else self._loaded.backbone.token_rows(part) for part in inputs]
        return turn, np.concatenate(rows)

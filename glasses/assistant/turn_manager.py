"""Turns as they happen: who is addressed, when a wearer may be done, when a reply is interrupted. Pure; knows no sound.

One state machine on the sound's own clock: idle -> open -> replying -> idle, with `paused` while it is not yet sure
that a voice over the reply is an interruption. Every state has a cap. Speech that goes on before the reply was heard
belongs to the same turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glasses.audio.vad import SPEECH
from glasses.events import TurnEvent, TurnSpan
from glasses.types import NS_PER_MS

State = Literal["idle", "open", "replying", "paused"]

NO_SPEECH_MS = 2500  # a touch and no word: the question is the touch itself
LONGEST_MS = 15_000  # whatever goes on, a turn ends here
OPEN_STEPS = 4  # 128 ms of speech on end open a turn where speech alone may; a click or a cough is shorter
DIP_MS = 90  # silence after which the wearer may be done: the reply is prepared, nothing is said yet
SURE = 0.9  # so sure that the sentence is complete, the dip ends it: what goes on sooner than a reply sounds is merged
UNSURE_SILENCE_MS = 160  # waited for otherwise, the less sure the more,
END_SILENCE_MS = 640  # up to this much where it is not complete
DOUBT_MS = 64  # one step of voice over the reply holds it, for this long where no second one follows
CONFIRM_STEPS = 6  # 192 ms of it within CONFIRM_MS end it
CONFIRM_MS = 450
MERGE_MS = 2000  # speech this soon after the end of a turn goes on with it, if the reply was not heard yet
HEARD_MS = 400  # of a reply: from then on it was heard
FOLLOW_MS = 6000  # after a reply speech is addressed without another touch
REPLY_MS = 60_000  # no reply takes longer


@dataclass(frozen=True, slots=True)
class TurnChange:
    """What a step of sound changed. `span` comes with TURN_COMPLETED alone; `merged`: an interruption that was none."""

    event: TurnEvent
    t_ns: int
    span: TurnSpan | None = None
    continues_turn: bool = False


class TurnManager:
    """`touch`, `step`, `judge`, `audible` and `over` as they happen; each gives what changed, often nothing."""

    def __init__(self, *, on_speech: bool = False) -> None:
        """`on_speech`: any speech opens a turn, without a touch."""
        self.state: State = "idle"
        self._on_speech = on_speech
        self._since_ns = self._reply_ns = 0  # when the state began, and the reply
        self.activated_ns, self.wants_image = 0, False
        self.spoken_ns: tuple[int, int] | None = None
        self._run = 0  # steps of speech on end
        self._voiced: list[int] = []  # times of the steps of speech over a reply
        self._dipped = self._called = False
        self._complete: float | None = None
        self._last: TurnSpan | None = None
        self._audible_ns: int | None = None
        self._follow_ns = 0

    def touch(self, t_ns: int, *, wants_image: bool) -> TurnChange | None:
        """The wearer touched the glasses: a turn opens, a reply ends; while a turn is open it only adds the look."""
        if self.state == "open":
            self.wants_image = self.wants_image or wants_image
            return None
        event = TurnEvent.TURN_STARTED if self.state == "idle" else TurnEvent.INTERRUPTED
        self._open(t_ns, wants_image=wants_image)
        return TurnChange(event, t_ns)

    def wake(self, t_ns: int) -> TurnChange:
        """The wake phrase ended just now: as a touch, but the rest of its last sound is not what is said next."""
        self._open(t_ns, wants_image=False, called=True)
        return TurnChange(TurnEvent.TURN_STARTED, t_ns)

    def judge(self, complete: float | None) -> None:
        """How likely what was said up to the silence that began is a complete sentence, 0..1; None is not known."""
        self._complete = complete

    def audible(self, t_ns: int) -> None:
        """The reply's first sample sounds at `t_ns`."""
        self._audible_ns = t_ns

    def over(self, t_ns: int) -> None:
        """The reply has been said, or there is none."""
        if self.state in ("replying", "paused"):
            self._enter("idle", t_ns)
            self._follow_ns = t_ns + FOLLOW_MS * NS_PER_MS

    def dismiss(self, t_ns: int) -> None:
        """The turn that just ended was for somebody else: nothing is said to it, and nothing follows from it."""
        self._enter("idle", t_ns)

    def close(self, t_ns: int) -> bool:
        """Drops an open turn; tells whether there was one."""
        was_open = self.state == "open"
        if was_open:
            self._enter("idle", t_ns)
        return was_open

    def step(self, from_ns: int, to_ns: int, probability: float) -> list[TurnChange]:
        """One step of sound with its probability of speech."""
        speaks = probability >= SPEECH
        self._run = self._run + 1 if speaks else 0
        if self.state == "idle":
            return self._idle(from_ns, to_ns)
        if self.state == "open":
            return self._hear(from_ns, to_ns, speaks)
        return self._reply(from_ns, to_ns, speaks)

    def tick(self, now_ns: int) -> list[TurnChange]:
        """The clock where no sound comes: no state outlives its cap because a microphone died."""
        cap_ms = {"idle": 1 << 62, "open": LONGEST_MS, "replying": REPLY_MS, "paused": CONFIRM_MS}[self.state]
        if now_ns - self._since_ns < (cap_ms + NO_SPEECH_MS) * NS_PER_MS:
            return []
        if self.state == "paused":
            self._enter("replying", now_ns)
            return [TurnChange(TurnEvent.BARGE_IN_REJECTED, now_ns)]
        self._enter("idle", now_ns)
        return [TurnChange(TurnEvent.TIMED_OUT, now_ns)]

    def _enter(self, state: State, t_ns: int) -> None:
        self.state, self._since_ns = state, t_ns

    def _open(self, t_ns: int, *, wants_image: bool, called: bool = False) -> None:
        self._enter("open", t_ns)
        self.activated_ns, self.wants_image, self.spoken_ns = t_ns, wants_image, None
        self._dipped, self._complete, self._audible_ns = False, None, None
        self._run, self._called = 0 if called else self._run, called

    def _idle(self, from_ns: int, to_ns: int) -> list[TurnChange]:
        if self._run < OPEN_STEPS or not (self._on_speech or from_ns < self._follow_ns):
            return []
        onset_ns = to_ns - self._run * (to_ns - from_ns)
        self._open(onset_ns, wants_image=False)
        self.spoken_ns = (onset_ns, to_ns)
        return [TurnChange(TurnEvent.TURN_STARTED, onset_ns)]

    def _hear(self, from_ns: int, to_ns: int, speaks: bool) -> list[TurnChange]:
        if from_ns < self.activated_ns:
            return []
        changes: list[TurnChange] = []
        if speaks and (self.spoken_ns or not self._called or self._run >= OPEN_STEPS):
            onset_ns = to_ns - (self._run if self._called else 1) * (to_ns - from_ns)
            self.spoken_ns = (self.spoken_ns[0] if self.spoken_ns else onset_ns, to_ns)
            self._complete = None
            if self._dipped:
                self._dipped = False
                changes.append(TurnChange(TurnEvent.SPEECH_RESUMED, from_ns))
        silent_ns = to_ns - (self.spoken_ns[1] if self.spoken_ns else self.activated_ns)
        if self.spoken_ns and not self._dipped and silent_ns >= DIP_MS * NS_PER_MS:
            self._dipped = True
            changes.append(TurnChange(TurnEvent.SILENCE_STARTED, to_ns))
        if silent_ns >= self._enough_ms() * NS_PER_MS or to_ns - self.activated_ns >= LONGEST_MS * NS_PER_MS:
            self._last = TurnSpan(self.activated_ns, self.wants_image, self.spoken_ns, to_ns)
            self._enter("replying", to_ns)
            self._reply_ns = to_ns
            self._voiced.clear()
            changes.append(TurnChange(TurnEvent.TURN_COMPLETED, to_ns, self._last))
        return changes

    def _enough_ms(self) -> int:
        if self.spoken_ns is None:
            return NO_SPEECH_MS
        return enough_ms(self._complete)

    def _reply(self, from_ns: int, to_ns: int, speaks: bool) -> list[TurnChange]:
        if to_ns - self._reply_ns >= REPLY_MS * NS_PER_MS:
            self._enter("idle", to_ns)
            return [TurnChange(TurnEvent.TIMED_OUT, to_ns)]
        if speaks:
            self._voiced.append(from_ns)
        self._voiced = [t_ns for t_ns in self._voiced if to_ns - t_ns <= CONFIRM_MS * NS_PER_MS]
        if self.state == "replying" and speaks:
            self._enter("paused", to_ns)
            return [TurnChange(TurnEvent.BARGE_IN_PENDING, to_ns)]
        if self.state == "paused" and len(self._voiced) >= CONFIRM_STEPS:
            return [self._interrupt(to_ns)]
        held_ms = CONFIRM_MS if len(self._voiced) > 1 else DOUBT_MS
        if self.state == "paused" and to_ns - self._since_ns >= held_ms * NS_PER_MS:
            self._enter("replying", to_ns)
            return [TurnChange(TurnEvent.BARGE_IN_REJECTED, to_ns)]
        return []

    def _interrupt(self, to_ns: int) -> TurnChange:
        onset_ns, last = self._voiced[0], self._last
        unheard = self._audible_ns is None or onset_ns - self._audible_ns < HEARD_MS * NS_PER_MS
        merged = bool(last and unheard and last.spoken_ns and onset_ns - last.end_ns < MERGE_MS * NS_PER_MS)
        merged = (
            merged and last is not None and last.decided_ns - last.activated_ns < LONGEST_MS * NS_PER_MS
        )  # not cut by the cap
        if last and merged and last.spoken_ns:
            self._open(last.activated_ns, wants_image=last.wants_image)
            self.spoken_ns = (last.spoken_ns[0], to_ns)
            self._since_ns = to_ns
        else:
            self._open(onset_ns, wants_image=False)
            self.spoken_ns = (onset_ns, to_ns)
        return TurnChange(TurnEvent.INTERRUPTED, to_ns, continues_turn=merged)


def enough_ms(complete: float | None) -> int:
    """How much silence ends a turn whose words so far are a complete sentence this likely; None is not known."""
    if complete is not None and complete >= SURE:
        return DIP_MS
    return round(END_SILENCE_MS - (complete or 0.0) / SURE * (END_SILENCE_MS - UNSURE_SILENCE_MS))

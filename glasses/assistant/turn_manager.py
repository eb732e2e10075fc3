"""Decides when a turn starts, when the user may be done, and when a reply is interrupted: from speech probabilities.

`turn_states.TRANSITIONS` is the whole state machine. It runs on the sound's own clock, so a recording decides as
the live sound did. Speech that goes on before the reply was heard continues the same turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from glasses.assistant.follow_ups import MOST
from glasses.assistant.turn_states import CAPS, CONFIRM_MS, LONGEST_MS, REPLY_MS, TRANSITIONS, Trigger, TurnState
from glasses.audio.vad import SPEECH
from glasses.events import TurnEvent, TurnSpan
from glasses.types import NS_PER_MS

NO_SPEECH_MS = 2500  # without a word after an activation the turn ends: what was heard or seen is the question
START_STEPS = 4  # 128 ms of speech without a break start a turn where speech alone may; a click or a cough is shorter
PAUSE_MS = 90  # of silence, after which the user may be done: the reply is prepared, but nothing is said yet
SURE = 0.9  # from this completeness on the pause ends the turn; speech that resumes before the reply continues it
UNSURE_SILENCE_MS = 160  # silence that ends a turn whose completeness is just below SURE
END_SILENCE_MS = 640  # silence that ends a turn whose completeness is 0 or unknown
DOUBT_MS = 64  # one step of voice over the reply holds it, for this long where no second step follows
CONFIRM_STEPS = 6  # 192 ms of voice within CONFIRM_MS interrupt the reply
CONTINUE_MS = 2000  # speech this soon after the end of a turn continues it, if the reply was not heard yet
HEARD_MS = 400  # of a reply: from then on the user has heard it
FOLLOW_UP_MS = 6000  # after a reply speech may be addressed to the assistant without another activation

_OPEN = (TurnState.LISTENING, TurnState.PAUSED)


@dataclass(frozen=True, slots=True)
class TurnChange:
    """A turn event at `t_ns`. `span` comes with TURN_COMPLETED alone.

    `continues_turn`: an INTERRUPTED that goes on with the turn before, whose reply was not heard yet.
    """

    event: TurnEvent
    t_ns: int
    span: TurnSpan | None = None
    continues_turn: bool = False


class TurnManager:
    """The state machine. Its methods are called as things happen; each returns what changed, often nothing.

    `activated_ns`, `wants_image` and `spoken_ns` (first and last speech, None before any) are those of the turn that is
    open, or was last. After `most_follow_ups` in a row a turn needs an activation again.
    """

    def __init__(self, *, on_speech: bool = False) -> None:
        """`on_speech`: any speech starts a turn, without a button or a wake word."""
        self.state = TurnState.IDLE
        self.activated_ns, self.wants_image = 0, False
        self.spoken_ns: tuple[int, int] | None = None
        self._on_speech = on_speech
        self._since_ns = 0  # when the phase began; LISTENING and PAUSED are one
        self._speech_run = 0  # steps of speech without a break
        self._by_wake_word = self._is_follow_up = self._is_announcing = False
        self._completeness: float | None = None
        self._last: TurnSpan | None = None
        self._reply_ns = 0  # when the reply was begun
        self._audible_ns: int | None = None
        self._over_reply_ns: list[int] = []  # times of the steps of speech over the reply
        self._follow_up_until_ns = 0
        self.most_follow_ups = MOST
        self._n_follow_ups = 0  # answered since the last activation

    @property
    def is_open(self) -> bool:
        """Whether a turn is open."""
        return self.state in _OPEN

    @property
    def is_replying(self) -> bool:
        """Whether a reply is made or said."""
        return self.state in (TurnState.REPLYING, TurnState.BARGE_IN)

    @property
    def is_follow_up(self) -> bool:
        """Whether the turn that is open, or was last, was begun by speech where turns need an activation."""
        return self._is_follow_up

    @property
    def n_follow_ups(self) -> int:
        """Completed since the last activation, one that was completed just now among them."""
        return self._n_follow_ups

    def touch(self, t_ns: int, *, wants_image: bool) -> TurnChange | None:
        """The button was pressed: starts a turn or interrupts a reply. An open turn can only come to want an image."""
        if self.is_open:
            self.wants_image = self.wants_image or wants_image
            return None
        change = self._move(Trigger.ACTIVATED, t_ns)
        self._begin_turn(t_ns, wants_image=wants_image)
        self._n_follow_ups = 0
        return change

    def wake(self, t_ns: int) -> TurnChange | None:
        """The wake word ended just now: as a button press, but what is left of its last sound is no speech."""
        change = self._move(Trigger.ACTIVATED, t_ns)
        if change:
            self._begin_turn(t_ns, wants_image=False)
            self._speech_run, self._by_wake_word, self._n_follow_ups = 0, True, 0
        return change

    def set_completeness(self, completeness: float | None) -> None:
        """How likely the words before the silence that began are a complete sentence, 0..1; None is not known."""
        self._completeness = completeness

    def reply_audible(self, t_ns: int) -> None:
        """The reply's first sample sounds at `t_ns`."""
        self._audible_ns = t_ns

    def announced(self, t_ns: int, *, begun: bool) -> None:
        """Something that nobody asked for now begins to be said, as a reply to no turn, or that is over."""
        if begun and self.state is TurnState.IDLE:
            self._move(Trigger.ANNOUNCED, t_ns)
            self._last, self._reply_ns, self._audible_ns, self._is_announcing = None, t_ns, t_ns, True
            self._over_reply_ns.clear()
        elif not begun and self._is_announcing:
            self.reply_finished(t_ns)

    def reply_finished(self, t_ns: int) -> None:
        """The reply has been said, or there is none."""
        self._is_announcing = False
        if self.is_replying:
            self._move(Trigger.REPLY_FINISHED, t_ns)
            invites = self._n_follow_ups < self.most_follow_ups
            self._follow_up_until_ns = t_ns + FOLLOW_UP_MS * NS_PER_MS * invites

    def dismiss(self, t_ns: int) -> None:
        """The turn that is open or just completed is somebody else's: it gets no reply and invites no follow-up.

        What goes on of its speech is no turn of its own.
        """
        if self.is_replying:
            self._n_follow_ups -= self._is_follow_up
        self._move(Trigger.DISMISSED, t_ns)
        self._speech_run = 0

    def drop(self, t_ns: int) -> bool:
        """Drops an open turn and ends the conversation; tells whether a turn was open."""
        was_open, self._follow_up_until_ns = self.is_open, 0
        self._move(Trigger.DROPPED, t_ns)
        return was_open

    def step(self, from_ns: int, to_ns: int, probability: float) -> list[TurnChange]:
        """Takes one step of sound with its probability of speech, 0..1."""
        is_speech = probability >= SPEECH
        self._speech_run = self._speech_run + 1 if is_speech else 0
        if self.state is TurnState.IDLE:
            found = [self._step_idle(from_ns, to_ns)]
        elif self.is_open:
            found = self._step_open(from_ns, to_ns, is_speech)
        else:
            found = [self._step_reply(from_ns, to_ns, is_speech)]
        return [change for change in found if change]

    def tick(self, now_ns: int) -> list[TurnChange]:
        """The clock where no sound comes: no state outlives its cap because a microphone died."""
        if self.state not in CAPS:
            return []
        cap_ms, trigger = CAPS[self.state]
        if now_ns - self._since_ns < (cap_ms + NO_SPEECH_MS) * NS_PER_MS:
            return []
        change = self._move(trigger, now_ns)
        return [change] if change else []

    def _move(
        self, trigger: Trigger, t_ns: int, span: TurnSpan | None = None, *, continues_turn: bool = False
    ) -> TurnChange | None:
        """Follows the table; a trigger that it does not list for the state changes nothing."""
        if (self.state, trigger) not in TRANSITIONS:
            return None
        state, event = TRANSITIONS[self.state, trigger]
        if not (self.state in _OPEN and state in _OPEN):
            self._since_ns = t_ns
        self.state = state
        return TurnChange(event, t_ns, span, continues_turn) if event else None

    def _begin_turn(
        self,
        activated_ns: int,
        *,
        wants_image: bool,
        spoken_ns: tuple[int, int] | None = None,
        since_ns: int = 0,
        is_follow_up: bool = False,
    ) -> None:
        self.activated_ns, self.wants_image, self.spoken_ns = activated_ns, wants_image, spoken_ns
        self._since_ns = since_ns or activated_ns
        self._completeness, self._audible_ns, self._by_wake_word = None, None, False
        self._is_announcing = False
        self._is_follow_up = is_follow_up and not self._on_speech

    def _step_idle(self, from_ns: int, to_ns: int) -> TurnChange | None:
        is_addressed = self._on_speech or from_ns < self._follow_up_until_ns
        if self._speech_run < START_STEPS or not is_addressed:
            return None
        onset_ns = to_ns - self._speech_run * (to_ns - from_ns)
        change = self._move(Trigger.ACTIVATED, onset_ns)
        self._begin_turn(onset_ns, wants_image=False, spoken_ns=(onset_ns, to_ns), is_follow_up=True)
        return change

    def _step_open(self, from_ns: int, to_ns: int, is_speech: bool) -> list[TurnChange | None]:
        if from_ns < self.activated_ns:
            return []
        changes: list[TurnChange | None] = []
        if is_speech and self._is_of_the_turn():
            run = self._speech_run if self._by_wake_word else 1
            onset_ns = self.spoken_ns[0] if self.spoken_ns else to_ns - run * (to_ns - from_ns)
            self.spoken_ns, self._completeness = (onset_ns, to_ns), None
            changes.append(self._move(Trigger.SPEECH, from_ns))
        silent_ns = to_ns - (self.spoken_ns[1] if self.spoken_ns else self.activated_ns)
        if self.spoken_ns and silent_ns >= PAUSE_MS * NS_PER_MS:
            changes.append(self._move(Trigger.PAUSE, to_ns))
        enough_ms = silence_that_ends_ms(self._completeness) if self.spoken_ns else NO_SPEECH_MS
        if silent_ns >= enough_ms * NS_PER_MS or to_ns - self.activated_ns >= LONGEST_MS * NS_PER_MS:
            self._last = TurnSpan(self.activated_ns, self.wants_image, self.spoken_ns, to_ns)
            self._reply_ns = to_ns
            self._over_reply_ns.clear()
            self._n_follow_ups += self._is_follow_up
            changes.append(self._move(Trigger.DONE, to_ns, self._last))
        return changes

    def _is_of_the_turn(self) -> bool:
        """Whether a step of speech belongs to the turn: right after the wake word it may be the end of that."""
        return bool(self.spoken_ns) or not self._by_wake_word or self._speech_run >= START_STEPS

    def _step_reply(self, from_ns: int, to_ns: int, is_speech: bool) -> TurnChange | None:
        if to_ns - self._reply_ns >= REPLY_MS * NS_PER_MS:
            return self._move(Trigger.TIMED_OUT, to_ns)
        if is_speech:
            self._over_reply_ns.append(from_ns)
        self._over_reply_ns = [t_ns for t_ns in self._over_reply_ns if to_ns - t_ns <= CONFIRM_MS * NS_PER_MS]
        if self.state is TurnState.REPLYING:
            return self._move(Trigger.SPEECH, to_ns) if is_speech else None
        if len(self._over_reply_ns) >= CONFIRM_STEPS:
            return self._interrupt(to_ns)
        patience_ms = CONFIRM_MS if len(self._over_reply_ns) > 1 else DOUBT_MS
        is_over = to_ns - self._since_ns >= patience_ms * NS_PER_MS
        return self._move(Trigger.FADED, to_ns) if is_over else None

    def _interrupt(self, to_ns: int) -> TurnChange | None:
        onset_ns, last = self._over_reply_ns[0], self._last
        if last and last.spoken_ns and self._continues(last, onset_ns):
            change = self._move(Trigger.CONFIRMED, to_ns, continues_turn=True)
            spoken_ns, is_follow_up = (last.spoken_ns[0], to_ns), self._is_follow_up
            self._n_follow_ups -= is_follow_up  # it is completed once more
            self._begin_turn(
                last.activated_ns,
                wants_image=last.wants_image,
                spoken_ns=spoken_ns,
                since_ns=to_ns,
                is_follow_up=is_follow_up,
            )
        else:
            change = self._move(Trigger.CONFIRMED, to_ns)
            self._begin_turn(onset_ns, wants_image=False, spoken_ns=(onset_ns, to_ns), is_follow_up=True)
        return change

    def _continues(self, last: TurnSpan, onset_ns: int) -> bool:
        """Whether speech from `onset_ns` on belongs to the turn before: soon enough, not heard yet, not cut off."""
        is_unheard = self._audible_ns is None or onset_ns - self._audible_ns < HEARD_MS * NS_PER_MS
        is_soon = onset_ns - last.end_ns < CONTINUE_MS * NS_PER_MS
        return is_unheard and is_soon and last.decided_ns - last.activated_ns < LONGEST_MS * NS_PER_MS


def silence_that_ends_ms(completeness: float | None) -> int:
    """How much silence ends a turn whose words are a complete sentence with this probability; None is not known."""
    if completeness is not None and completeness >= SURE:
        return PAUSE_MS
    return round(END_SILENCE_MS - (completeness or 0.0) / SURE * (END_SILENCE_MS - UNSURE_SILENCE_MS))

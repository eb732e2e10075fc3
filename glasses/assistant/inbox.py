"""Signals of the listener as a queue of commands that the responder's thread takes in order.

Two things cannot wait for that thread, which may be in the middle of a decode step, and happen in the caller's: the
decode is aborted and the speaker silenced, paused or resumed. The abort flag of the backbone is set if and only if a
command waits that makes the work under way useless; taking the commands clears it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from glasses.assistant.clock import Clock
from glasses.assistant.reply import Synthesizer, same_rows
from glasses.backbone.handover import Handover
from glasses.devices.speaker import AudioOutput
from glasses.events import Clause, Draft, Signal, TurnCompleted, TurnEvent, TurnSignal
from glasses.types import Float32Array


@dataclass(slots=True, eq=False)
class Basis:
    """The rows float32 (n, n_embd) that a reply is made from: a draft's, and once they are fed, those in the cache."""

    turn_id: int
    may_be_complete: bool
    rows: Float32Array

    def suits(self, draft: Draft) -> bool:
        """Whether a reply made from these rows answers `draft` as well."""
        if (self.turn_id, self.may_be_complete) != (draft.turn.id, draft.may_be_complete):
            return False
        return len(self.rows) == len(draft.rows) == same_rows(self.rows, draft.rows)


@dataclass(frozen=True, slots=True)
class NewDraft:
    """A draft to be answered from `basis`: that of the draft before where it says the same, else its own."""

    draft: Draft
    basis: Basis


@dataclass(frozen=True, slots=True)
class Cut:
    """The reply is not wanted any more. `played`: the clauses of it that the speaker had, as far as they were heard."""

    signal: TurnSignal
    played: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """The responder is to end."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Everything is to be forgotten; `done` is set once the KV cache holds nothing of the conversation."""

    done: threading.Event


@dataclass(frozen=True, slots=True)
class Announce:
    """Something is to be said that no turn asked for: `text`, or `sound` float32 (N,) instead, at the voice's rate."""

    id: int
    text: str
    sound: Float32Array | None = None


Command = NewDraft | TurnCompleted | Cut | Stop | Forget | Announce


class Inbox:
    """`put` and `stop` may be called from any thread and never wait; the rest belongs to the responder's thread."""

    def __init__(
        self, handover: Handover, voice: Synthesizer | None, speaker: AudioOutput | None, clock: Clock
    ) -> None:
        self._handover, self._voice, self._speaker, self._clock = handover, voice, speaker, clock
        self._arrived = threading.Condition()
        self._commands: list[Command] = []
        self._basis: Basis | None = None  # of the newest draft, while its turn is not completed
        self._open = False

    @property
    def speaker(self) -> AudioOutput | None:
        """What replies are played on."""
        return self._speaker

    def use_speaker(self, speaker: AudioOutput | None) -> None:
        """Replaces a speaker that was lost; from any thread."""
        with self._arrived:
            self._speaker = speaker

    def put(self, signal: Signal) -> None:
        """Queues a signal. Aborts the work that it makes useless; silences, pauses or resumes the speaker.

        Apps get out of the backbone as soon as a turn begins, long before it is to be answered.
        """
        if isinstance(signal, TurnSignal) and signal.event in (TurnEvent.TIMED_OUT, TurnEvent.NOT_ADDRESSED):
            self._handover.release()
        else:
            self._handover.hold()
        with self._arrived:
            if isinstance(signal, Draft):
                self._queue(self._draft(signal))
            elif isinstance(signal, TurnCompleted):
                self._basis = None  # a later draft of this turn is a new request
                self._queue(signal)
            elif signal.event in (TurnEvent.INTERRUPTED, TurnEvent.TIMED_OUT, TurnEvent.NOT_ADDRESSED):
                self._basis = None
                played = self._speaker.silence() if self._speaker else []
                self._queue(Cut(signal, tuple(played)))
                self._abort()
            elif signal.event is TurnEvent.TURN_STARTED:
                self._arrived.notify()  # the wearer's rows come back into the cache before there is a draft
            elif signal.event is TurnEvent.BARGE_IN_PENDING and self._speaker:
                self._speaker.pause()
            elif signal.event is TurnEvent.BARGE_IN_REJECTED and self._speaker:
                self._speaker.unpause()

    def forget(self) -> threading.Event:
        """Queues `Forget`, aborts what is being done and silences the speaker. Returns what is set once it is done."""
        done = threading.Event()
        with self._arrived:
            self._basis = None
            if self._speaker:
                self._speaker.silence()
            self._queue(Forget(done))
            self._abort()
            if not self._open:  # nothing was fed yet, or will be
                done.set()
        return done

    def announce(self, command: Announce) -> None:
        """Queues an announcement, which is said once the work under way is done; from any thread."""
        with self._arrived:
            self._queue(command)

    def stop(self) -> None:
        """Queues `Stop` and aborts what is being done."""
        with self._arrived:
            self._queue(Stop())
            self._abort()

    def open(self) -> None:
        """From now on signals abort what the backbone and the voice do; until then others may be using them."""
        with self._arrived:
            self._open = True
            if self._commands:
                self._abort()

    def close(self) -> None:
        """Leaves the backbone to others."""
        with self._arrived:
            self._open = False
            self._handover.clear_abort()

    def take(self, wait_s: float) -> list[Command]:
        """The commands that wait, oldest first; where there are none, those that come within `wait_s`."""
        with self._arrived:
            if not self._commands and wait_s > 0:
                self._clock.wait(self._arrived, wait_s)
            commands, self._commands = self._commands, []
            if commands:
                self._handover.clear_abort()
        return commands

    def play(self, turn_id: int, text: str, pcm: Float32Array) -> Clause | None:
        """Queues a clause at the speaker; None, and nothing is played, while commands wait to be taken."""
        with self._arrived:
            if self._commands or self._speaker is None:
                return None
            return self._speaker.play(turn_id, text, pcm)

    def fed(self, basis: Basis, rows: Float32Array) -> None:
        """The cache holds `rows` for the reply made from `basis`: later drafts are compared with them."""
        with self._arrived:
            basis.rows = rows

    def _draft(self, draft: Draft) -> NewDraft:
        if self._basis is None or not self._basis.suits(draft):
            self._basis = Basis(draft.turn.id, draft.may_be_complete, draft.rows)
            self._abort()
        return NewDraft(draft, self._basis)

    def _queue(self, command: Command) -> None:
        self._commands.append(command)
        self._arrived.notify()

    def _abort(self) -> None:
        if self._open:
            self._handover.abort()
            if self._voice:
                self._voice.abort()

"""What the stages of the pipeline tell each other: drafts, turn events, replies, what was played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from glasses.types import Float32Array, Frame, Int16Array, Token, Turn

MemoryIntent = Literal["", "sound", "picture", "wipe", "repeat"]
ReplyPhase = Literal["audible", "finished"]
AnnouncementState = Literal["begun", "told", "interrupted", "answered", "missed"]


class TurnEvent(StrEnum):
    """What happens to a turn."""

    TURN_STARTED = "turn_started"  # somebody addressed the assistant
    SILENCE_STARTED = "silence_started"  # the user stopped speaking and may be done
    SPEECH_RESUMED = "speech_resumed"  # the user went on after such a silence
    TURN_COMPLETED = "turn_completed"  # the user is done: the turn is answered
    BARGE_IN_PENDING = "barge_in_pending"  # a voice over the reply, not yet long enough to interrupt it
    BARGE_IN_REJECTED = "barge_in_rejected"  # that voice ended at once: the reply goes on
    INTERRUPTED = (
        "interrupted"  # the user spoke over the reply, or touched: a new turn starts or the last one continues
    )
    TIMED_OUT = "timed_out"  # nobody waits for the turn or its reply any more
    NOT_ADDRESSED = "not_addressed"  # the turn asked for nothing: it is not answered


class Outcome(StrEnum):
    """How a reply ended."""

    COMPLETED = "completed"  # all of it was said, or shown where there is no voice
    INTERRUPTED = "interrupted"  # the user spoke over it
    CONTINUED = "continued"  # the user went on before hearing it: the same turn is answered anew
    TIMED_OUT = "timed_out"  # it would have come too late
    EMPTY = "empty"  # the backbone wrote nothing
    FAILED = "failed"  # the backbone or the voice raised an error


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """When a turn was activated, spoken and completed, in ns. `spoken_ns` is None where nobody spoke."""

    activated_ns: int
    wants_image: bool
    spoken_ns: tuple[int, int] | None
    decided_ns: int

    @property
    def end_ns(self) -> int:
        """End of speech; without speech, the moment of the decision."""
        return self.spoken_ns[1] if self.spoken_ns else self.decided_ns


@dataclass(frozen=True, slots=True)
class Draft:
    """The prompt for the turn as heard so far.

    `rows`: the user's input embeddings float32 (n, n_embd), between the system prompt and the suffix of the prompt
    format. `may_be_complete`: the user stopped speaking, so this may be the whole turn. `is_final`: the turn manager
    considers it complete; a later draft can still replace it if speech resumes. `follows_interruption`: the turn
    interrupted a reply, so the part of that reply which was heard stays in the KV cache. `work_ns`: when making the
    draft began and ended. `memory_intent`: what the turn asks of the memory. `unseen`: why nothing can be made out in
    its picture, as a sentence to the wearer. `n_view_rows`: how many of the rows come up to the last picture, before
    the words.
    """

    turn: Turn
    rows: Float32Array
    may_be_complete: bool
    is_final: bool
    follows_interruption: bool
    work_ns: tuple[int, int]
    memory_intent: MemoryIntent = ""
    unseen: str = ""
    n_view_rows: int = 0


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The user is done: answer the turn's last draft, which is final. `view` is the picture the turn is about."""

    turn: Turn
    span: TurnSpan
    view: Frame | None
    decided_ns: int
    memory_intent: MemoryIntent = ""


@dataclass(frozen=True, slots=True)
class TurnSignal:
    """A turn event that the responder follows at once.

    `continues_turn`: the user resumed before hearing the reply, so this interruption continues the previous turn.
    """

    event: TurnEvent
    t_ns: int
    turn_id: int
    continues_turn: bool = False


@dataclass(frozen=True, slots=True)
class ReplyState:
    """From the responder to the listener: the turn's reply is audible from `t_ns` on, or finished then."""

    t_ns: int
    turn_id: int
    state: ReplyPhase


Signal = Draft | TurnCompleted | TurnSignal


@dataclass(slots=True)
class Clause:
    """One clause of a reply on its way to the speaker; counts are samples at the speaker's rate."""

    turn_id: int
    text: str
    n_samples: int
    n_samples_played: int = 0
    first_ns: int | None = None  # this host's monotonic time at which its first sample left the device

    @property
    def share(self) -> float:
        """The part of it that was handed to the device, 0..1."""
        return self.n_samples_played / self.n_samples if self.n_samples else 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """One stage of one turn on this host's clock; `draft` counts the drafts of the turn, from 1."""

    turn_id: int
    draft: int
    stage: str
    began_ns: int
    ended_ns: int


@dataclass(slots=True)
class Reply:
    """An answer being made. Times are this host's monotonic ns, None until the moment came."""

    draft: Draft
    number: int  # of the draft within its turn, from 1
    ended: TurnCompleted | None = None
    n_reused_rows: int = 0  # of the draft's rows, those that were in the KV cache already
    n_past_turns: int = 0  # of the conversation, in the KV cache before this turn
    tokens: list[Token] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    first_token_ns: int | None = None
    audible_ns: int | None = None
    outcome: Outcome | None = None
    n_tokens_played: int = 0  # of its tokens, where it was interrupted
    canned_reply: str = ""  # the whole text, where the backbone was not asked
    tool: str = ""  # the name of the tool that was called, whose sentence `canned_reply` is
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of that call
    work: list[Work] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(token.text for token in self.tokens).strip()


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of a reply that is shown now and will be said, as it is generated."""

    t_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class ShowText:
    """A text for the HUD that is no reply: what a tool or another agent has to show."""

    t_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What is said without having been asked just now: a timer that is up, a result that took long.

    `state`: it is said, or without a voice shown, from `t_ns` on; then whether it was told, or interrupted so early
    that it is said again. What rings is told again and again until it is answered, or missed. `number` counts how
    often it was begun.
    """

    t_ns: int
    id: int
    kind: str  # "timer", "alarm", "reminder", "result", "sound"
    text: str
    number: int
    state: AnnouncementState


@dataclass(frozen=True, slots=True)
class Played:
    """The sound handed to the speaker since the last one, int16 (N,) at its rate; made only if it is not silence."""

    t_ns: int
    pcm: Int16Array

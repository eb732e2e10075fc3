"""What the stages of the pipeline tell each other: drafts, turns, interruptions, replies, what was played."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from glasses.types import (
    DeviceChange,
    Float32Array,
    Frame,
    GateWord,
    Int16Array,
    OwnVoice,
    ReplyWord,
    SensorEvent,
    Token,
    Turn,
)

MemoryIntent = Literal["", "sound", "picture", "wipe", "again"]


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """One addressed stretch. `spoken_ns` is where speech began and ended, None where nobody spoke."""

    touched_ns: int
    look: bool
    spoken_ns: tuple[int, int] | None
    decided_ns: int

    @property
    def end_ns(self) -> int:
        """End of speech; without speech, the moment of the decision."""
        return self.spoken_ns[1] if self.spoken_ns else self.decided_ns


@dataclass(frozen=True, slots=True)
class Draft:
    """What a turn says so far. `rows` float32 (n, n_embd) is all that follows the system prompt; `paused`: the voice
    paused, so it may be all, and the rows end where an answer begins; `final`: nothing more will come, unless speech
    goes on. `work_ns` is when making it began and ended.
    """

    turn: Turn
    rows: Float32Array
    paused: bool
    final: bool
    history: bool  # it answers to what was heard of the reply before
    work_ns: tuple[int, int]
    wish: MemoryIntent = ""  # what it asks of the memory


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The wearer is done: answer the turn's last draft, which is final."""

    turn: Turn
    span: TurnSpan
    view: Frame | None
    decided_ns: int
    wish: MemoryIntent = ""


@dataclass(frozen=True, slots=True)
class TurnSignal:
    """Something for the mouth to do at once; `merged`: the interruption goes on with the same turn.

    "expire" is a turn that nobody waits for any more, "pass" one that asked for nothing: it is let pass unanswered.
    """

    what: GateWord
    t_ns: int
    turn_id: int
    merged: bool = False


@dataclass(frozen=True, slots=True)
class ReplyState:
    """The mouth tells the ear: the turn's reply sounds from `t_ns` on, or is over then."""

    t_ns: int
    turn_id: int
    what: ReplyWord


Signal = Draft | TurnCompleted | TurnSignal


@dataclass(slots=True)
class Clause:
    """One piece of an answer on its way out; counts are samples at the speaker's rate."""

    turn_id: int
    text: str
    total: int
    handed: int = 0
    first_ns: int | None = None  # this host's monotonic time at which its first sample left the device

    @property
    def share(self) -> float:
        """How much of it was handed to the device, 0..1."""
        return self.handed / self.total if self.total else 1.0


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
    """An answer being made. Times are this host's, None until they came."""

    draft: Draft
    number: int
    ended: TurnCompleted | None = None
    reused: int = 0  # rows that the draft before had fed already
    pieces: list[Token] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    first_piece_ns: int | None = None
    audible_ns: int | None = None
    outcome: str = ""  # said, interrupted, merged, expired, empty
    n_heard: int = 0  # of its pieces, where it was interrupted
    instead: str = ""  # the whole text, where the backbone was not asked
    work: list[Work] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What was written so far."""
        return "".join(piece.text for piece in self.pieces).strip()


@dataclass(frozen=True, slots=True)
class Played:
    """What was handed to the speaker since the last one, int16 (N,) at its rate; only where it was not silence."""

    t_ns: int
    pcm: Int16Array


Observed = SensorEvent | OwnVoice | Signal | ReplyState | Reply | DeviceChange | Played

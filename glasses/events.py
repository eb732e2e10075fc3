"""What the two halves of the live spine tell each other: drafts, turns, interruptions. Knows no device and no model."""

from __future__ import annotations

from dataclasses import dataclass

from glasses.assistant.turn_manager import Span
from glasses.heads.memory_intent import Wish
from glasses.types import Float32Array, Frame, GateWord, ReplyWord, Turn


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
    wish: Wish = ""  # what it asks of the memory


@dataclass(frozen=True, slots=True)
class Ended:
    """The wearer is done: answer the turn's last draft, which is final."""

    turn: Turn
    span: Span
    view: Frame | None
    decided_ns: int
    wish: Wish = ""


@dataclass(frozen=True, slots=True)
class Told:
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


Signal = Draft | Ended | Told

"""Making a reply: what its writer may ask, which rows count as equal, how much was heard, its figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from glasses.events import Clause, Draft, Reply, Work
from glasses.types import NS_PER_MS, Float32Array, Token

SAME_ROW = 0.15  # two rows this close, relative to their length, are one: the encoder's second thoughts about a word
TOO_HOT = "I have to rest for a while."  # said where the backbone must not work
EXPIRES_MS = 8000  # nobody waits longer for a first sound
IDLE_S = 0.5  # between two signs of life to the watchdog


class ReplyStage(StrEnum):
    """How far the current reply is."""

    QUEUED = "queued"  # its draft came, nothing was done
    WORKING = "working"  # its draft is fed; it is written, spoken and, once the turn is completed, played
    FED = "fed"  # its draft is in the KV cache, and is not answered, for the user still speaks
    FINISHED = "finished"  # it has an outcome


class TurnProgress(Protocol):
    """What a writer of tokens may ask about the turn it answers, in the responder's thread."""

    @property
    def is_completed(self) -> bool:
        """Whether the turn is completed: only then is it known that it was meant for the assistant."""
        ...

    def check(self) -> None:
        """Raises ModelError(ABORTED) where nobody waits for the answer any more."""
        ...

    def wait_completed(self) -> None:
        """Returns once the turn is completed. Raises ModelError(ABORTED) where it never will be."""
        ...


class Synthesizer(Protocol):
    """What makes the sound of a reply; see `Voice`."""

    @property
    def rate_hz(self) -> int:
        """Sample rate of what `speak` yields."""
        ...

    def speak(self, clauses: Iterable[str], /) -> Iterator[Float32Array]:
        """Yields the sound of each clause as soon as the clause comes: float32 (N,). Raises ModelError."""
        ...

    def abort(self) -> None:
        """Stops the running synthesis, from any thread: `speak` raises ModelError(ABORTED)."""
        ...


@dataclass(frozen=True, slots=True)
class CompletedTurn:
    """The TurnProgress of a turn that is given whole and always waited for, as in `glasses ask`."""

    is_completed: bool = True

    def check(self) -> None:
        """Somebody always waits."""

    def wait_completed(self) -> None:
        """It is complete."""


@dataclass(frozen=True, slots=True)
class PolledTurn:
    """The TurnProgress of a reply. `poll` takes the responder's commands, and waits for them for so many seconds."""

    reply: Reply
    poll: Callable[[Reply, float], None]

    @property
    def is_completed(self) -> bool:
        """Whether the turn is completed."""
        return self.reply.ended is not None

    def check(self) -> None:
        """Raises ModelError(ABORTED) where nobody waits for the reply any more."""
        self.poll(self.reply, 0.0)

    def wait_completed(self) -> None:
        """Returns once the turn is completed. Raises as `check`."""
        self.poll(self.reply, 0.0)
        while not self.is_completed:
            self.poll(self.reply, IDLE_S)


class ShownText:
    """The text of one reply at a time, piece by piece, from when its turn is completed."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text, self._n_shown = on_text, 0

    def reset(self) -> None:
        """Another reply begins, or the same one anew."""
        self._n_shown = 0

    def show(self, reply: Reply) -> None:
        """Tells what was not told yet, where the turn is completed."""
        if reply.ended and (text := "".join(token.text for token in reply.tokens[self._n_shown :])):
            self._on_text(text)
            self._n_shown = len(reply.tokens)


# The tokens of an answer to a draft that is in the KV cache.
Write = Callable[[Draft, TurnProgress], Iterator[Token]]


def reply_to(draft: Draft, before: Reply | None, work: Work) -> Reply:
    """A reply to `draft`, which took `work`: one more of the open turn of `before`, or the first of another turn."""
    if before is None or before.draft.turn.id != draft.turn.id or before.ended is not None:
        return Reply(draft, 1, work=[work])
    number = before.number + 1
    return Reply(draft, number, work=[*before.work, replace(work, draft=number)])


def record_work(reply: Reply, stage: str, since_ns: int) -> int:
    """Adds one stage of the reply that took from `since_ns` until now, and returns now."""
    now_ns = time.monotonic_ns()
    reply.work.append(Work(reply.draft.turn.id, reply.number, stage, since_ns, now_ns))
    return now_ns


def same_rows(fed: Float32Array, wanted: Float32Array) -> int:
    """How many rows at the start of `fed` and `wanted`, both (n, n_embd), are equal within SAME_ROW."""
    n = min(len(fed), len(wanted))
    distance = np.linalg.norm(fed[:n] - wanted[:n], axis=1)
    differ = np.flatnonzero(distance > SAME_ROW * np.linalg.norm(wanted[:n], axis=1))
    return int(differ[0]) if len(differ) else n


def is_late(reply: Reply, now_ns: int) -> bool:
    """Whether nobody waits for the first sound of this reply any more."""
    if reply.ended is None or reply.audible_ns or reply.clauses:
        return False
    return now_ns - reply.ended.decided_ns > EXPIRES_MS * NS_PER_MS


def tokens_heard(texts: list[str], heard: list[Clause]) -> int:
    """How many tokens the user heard, in whole words; of a clause cut short, in proportion to the sound played."""
    words = sum(
        round(len(clause.text.split()) * clause.n_samples_played / max(clause.n_samples, 1)) for clause in heard
    )
    text = ""
    for i, token_text in enumerate(texts):
        if len((text + token_text).split()) > words:
            return i
        text += token_text
    return len(texts)


def reply_fields(reply: Reply) -> dict[str, Any]:
    """A reply as figures: times are ms from the end of speech, work is ms by stage before and after it."""
    ended = reply.ended
    end_ns = ended.span.end_ns if ended else 0
    before, after = dict[str, float](), dict[str, float]()
    for work in reply.work:
        early_ns = max(0, min(work.ended_ns, end_ns) - work.began_ns)
        late_ns = max(0, work.ended_ns - max(work.began_ns, end_ns))
        if reply.audible_ns and work.began_ns > reply.audible_ns:
            continue  # while it already speaks
        before[work.stage] = before.get(work.stage, 0.0) + early_ns / 1e6
        after[work.stage] = after.get(work.stage, 0.0) + late_ns / 1e6
    return {
        "turn": reply.draft.turn.id,
        "outcome": reply.outcome,
        "answer": reply.text,
        **({"tool": {"name": reply.tool, "arguments": dict(reply.arguments)}} if reply.tool else {}),
        "drafts": reply.number,
        "reused_rows": reply.n_reused_rows,
        "rows": len(reply.draft.rows),
        "past_turns": reply.n_past_turns,
        "decided_ms": round((ended.decided_ns - end_ns) / 1e6, 1) if ended else None,
        "first_audio_ms": round((reply.audible_ns - end_ns) / 1e6, 1) if reply.audible_ns else None,
        "work_before_ms": {stage: round(ms, 1) for stage, ms in before.items()},
        "work_after_ms": {stage: round(ms, 1) for stage, ms in after.items()},
    }

"""Where two runs of one session differ: decisions, gates, latents, answers and waits, under named tolerances.

Decisions are compared in the session's own time (from its first sensor entry), so a recording can be compared with a
replay of it, or with a replay by other models. Durations are compared as ratios only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glasses.events import Outcome, TurnEvent, TurnSignal
from glasses.recording.entries import Answered, Decision
from glasses.types import NS_PER_MS, Latents

_CUT_SHORT = (Outcome.INTERRUPTED, Outcome.CONTINUED)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far two runs of one session may differ before it counts."""

    when_ms: float = 40.0  # of a touch, an end of speech, a decision
    latents_cosine: float = 0.98  # at least, of a part's mean latent: recordings keep pictures as JPEG
    answer_words: int = 0  # words that may be other ones
    wait_ratio: float = 2.0  # that any stage of the wait may have grown by; a shorter wait is no fault
    wait_floor_ms: float = 150.0  # differences below this are the machine's


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One turn; times in `decision` count from the session's first sensor entry."""

    decision: Decision
    latents: tuple[Latents, ...]
    answer: Answered | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What was compared in which turn, under which tolerance, and whether it is within."""

    turn: int
    what: str
    tolerance: str
    before: str
    after: str
    within: bool


def shifted(one: Decision, by_ns: int) -> Decision:
    """The decision with all its times moved."""
    spoken = (one.spoken_ns[0] + by_ns, one.spoken_ns[1] + by_ns) if one.spoken_ns else None
    parts = tuple((kind, t if kind == "text" else t + by_ns, span, n) for kind, t, span, n in one.parts)
    times = {name: getattr(one, name) + by_ns for name in ("t_ns", "activated_ns", "end_ns")}
    return replace(one, **times, spoken_ns=spoken, parts=parts)


def compare(before: Sequence[RecordedTurn], after: Sequence[RecordedTurn], limits: Tolerances) -> list[Difference]:
    """Everything that was compared. Turns are paired by the moment they were opened, so one missing is one line."""
    out: list[Difference] = []
    left = list(after)
    for i, old in enumerate(before, 1):
        new = min(left, key=lambda one: _apart_ms(old, one), default=None)
        if new is None or _apart_ms(old, new) > max(limits.when_ms, 1000):
            out.append(Difference(i, "turn", "all", _at(old), "none", False))
            continue
        left.remove(new)
        out += _compare_turn(i, old, new, limits)
    out += [Difference(len(before) + i, "turn", "all", "none", _at(new), False) for i, new in enumerate(left, 1)]
    return out


def _compare_turn(i: int, old: RecordedTurn, new: RecordedTurn, limits: Tolerances) -> Iterator[Difference]:
    a, b = old.decision, new.decision
    for what in ("activated_ns", "end_ns", "t_ns"):
        ms = [getattr(one, what) / NS_PER_MS for one in (a, b)]
        name = {"t_ns": "decided"}.get(what, what.removesuffix("_ns"))
        yield Difference(i, name, "when_ms", f"{ms[0]:.0f} ms", f"{ms[1]:.0f} ms", abs(ms[0] - ms[1]) <= limits.when_ms)
    kinds = [f"{one.cause}: {' '.join(part[0] for part in one.parts)}" for one in (a, b)]
    yield Difference(i, "parts", "all", kinds[0], kinds[1], kinds[0] == kinds[1])
    intents = [one.memory_intent or "none" for one in (a, b)]
    yield Difference(i, "memory intent", "all", intents[0], intents[1], a.memory_intent == b.memory_intent)
    if old.latents and len(old.latents) == len(new.latents):
        low = min(_cosine(one, other) for one, other in zip(old.latents, new.latents, strict=True))
        yield Difference(i, "latents", "latents_cosine", "1", f"{low:.4f}", low >= limits.latents_cosine)
    if old.answer and new.answer:
        texts = _as_far(old.answer, new.answer)
        within = _changed_words(*texts) <= limits.answer_words
        yield Difference(i, "answer", "answer_words", *texts, within)
        yield from _compare_waits(i, old.answer.wait_ms, new.answer.wait_ms, limits)


def compare_gates(before: Sequence[TurnSignal], after: Sequence[TurnSignal], limits: Tolerances) -> list[Difference]:
    """Turn events: each has its like in the other run, at the same time."""
    out: list[Difference] = []
    left = list(after)
    for old in before:
        alike = [one for one in left if one.continues_turn == old.continues_turn and _same_word(old, one)]
        new = min(alike, key=lambda one: abs(one.t_ns - old.t_ns), default=None)
        within = new is not None and abs(new.t_ns - old.t_ns) <= limits.when_ms * NS_PER_MS
        if new is not None and within:
            left.remove(new)
        out.append(Difference(old.turn_id, "gate", "when_ms", _told(old), _told(new) if within else "none", within))
    return out + [Difference(one.turn_id, "gate", "when_ms", "none", _told(one), False) for one in left]


def _same_word(old: TurnSignal, new: TurnSignal) -> bool:
    """Recordings made before NOT_ADDRESSED existed hold TIMED_OUT in its place."""
    return old.event == new.event or (old.event, new.event) == (TurnEvent.TIMED_OUT, TurnEvent.NOT_ADDRESSED)


def _told(one: TurnSignal | None) -> str:
    return "none" if one is None else f"{one.event}{' (same turn)' * one.continues_turn} at {one.t_ns / 1e9:.2f} s"


def _as_far(old: Answered, new: Answered) -> tuple[str, str]:
    """Both texts, as far as both were written: a reply that was talked over ends where it was cut."""
    lengths = [len(one.text) for one in (old, new) if one.outcome in _CUT_SHORT]
    return (old.text[: min(lengths)], new.text[: min(lengths)]) if lengths else (old.text, new.text)


def _changed_words(one: str, other: str) -> int:
    words = [text.split() for text in (one, other)]
    matcher = difflib.SequenceMatcher(None, *words, autojunk=False)
    return max(len(side) for side in words) - sum(block.size for block in matcher.get_matching_blocks())


def _compare_waits(i: int, old: dict[str, float], new: dict[str, float], limits: Tolerances) -> Iterator[Difference]:
    for stage in {**old, **new}:
        a, b = old.get(stage), new.get(stage)
        if a is None or b is None:  # without a voice on one side, say: not a difference of time
            continue
        within = b - a <= limits.wait_floor_ms or b / max(a, 1e-3) <= limits.wait_ratio
        yield Difference(i, f"wait: {stage}", "wait_ratio", f"{a:.0f} ms", f"{b:.0f} ms", within)


def _cosine(one: Latents, other: Latents) -> float:
    if one.space != other.space:
        return 0.0
    a, b = one.data.mean(axis=0), other.data.mean(axis=0)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _apart_ms(one: RecordedTurn, other: RecordedTurn) -> float:
    return abs(one.decision.activated_ns - other.decision.activated_ns) / NS_PER_MS


def _at(one: RecordedTurn) -> str:
    return f"{one.decision.cause} at {one.decision.activated_ns / 1e9:.1f} s"

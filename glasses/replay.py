"""Runs a recorded session through the real gates, encoders and backbone, and says where two runs differ.

Knows no command line. Decisions are compared in the session's own time (from its first sensor entry), so a recording
can be compared with a replay of it, or with a replay by other models. Durations are compared as ratios only.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from glasses.app import Parts
from glasses.decoders.speech import Voice
from glasses.demo.reply import reply
from glasses.demo.session import events as session_events
from glasses.demo.session import load_session, paced
from glasses.errors import InputError, Reason
from glasses.gates.voice import VoiceDetector
from glasses.listen import Button, Heard, SensorEvent, listen
from glasses.recordings import opened, segments
from glasses.session_file import Answered, CutOffError, Decision, Entry, decision_of, read_entries
from glasses.types import AudioChunk, Frame, Latents

log = logging.getLogger(__name__)
_MS = 1_000_000
GAP_NS = 5_000_000_000  # between passes: over a second, so that every pass begins as a new stream


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far two runs of one session may differ before it counts."""

    when_ms: float = 40.0  # of a touch, an end of speech, a decision
    latents_cosine: float = 0.98  # at least, of a part's mean latent: recordings keep pictures as JPEG
    answer_words: int = 0  # words that may be other ones
    wait_ratio: float = 2.0  # of any stage of the wait, whichever run is slower
    wait_floor_ms: float = 150.0  # differences below this are the machine's


@dataclass(frozen=True, slots=True)
class Played:
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


def session_files(path: Path) -> list[Path]:
    """The segments of a recording in order: one file, or a folder of them. Raises InputError(NOT_FOUND)."""
    found = [segment.path for segment in segments(path)] if path.is_dir() else [path]
    if not found or not found[0].exists():
        hint = "it holds no session.toml and no .mcap; a .part is finished by the next `glasses run --record`"
        raise InputError(Reason.NOT_FOUND, f"no recording at {path}" + (f": {hint}" if path.is_dir() else ""))
    return found


def entries_of(path: Path, key: X25519PrivateKey | None = None) -> Iterator[Entry | dict[str, str]]:
    """All entries of a recording, or of a folder with session.toml as `glasses demo` plays it.

    Raises InputError: NOT_FOUND, REFUSED (sealed), CORRUPT (damaged; of files that were cut off, what there is).
    """
    if (path / "session.toml").is_file():
        yield from session_events(load_session(path))
        return
    for file in session_files(path):
        try:
            with opened(file, key) as stream:
                yield from read_entries(stream, file.name)
        except CutOffError as error:  # by a kill while it was sealed, or by a full disk: the session goes on after it
            log.warning("%s", error)


def recorded_turns(path: Path, key: X25519PrivateKey | None = None) -> list[Played]:
    """What a recording says was decided and answered. Raises InputError as `entries_of`."""
    origin_ns: int | None = None
    latents: dict[tuple[str, int, int], Latents] = {}
    decisions: list[Decision] = []
    answers: dict[int, Answered] = {}
    for entry in entries_of(path, key):
        if isinstance(entry, dict):
            origin_ns = int(entry["origin_ns"]) if origin_ns is None and "origin_ns" in entry else origin_ns
        elif isinstance(entry, Latents):
            latents[entry.modality, entry.t_ns, entry.duration_ns] = entry
        elif isinstance(entry, Decision):
            decisions.append(entry)
        elif isinstance(entry, Answered):
            answers[entry.turn_id] = entry
        elif origin_ns is None:
            origin_ns = entry.t_ns
    out = []
    for one in decisions:
        kept = tuple(latents[part[:3]] for part in one.parts if part[:3] in latents)
        out.append(Played(shifted(one, -(origin_ns or 0)), kept, answers.get(one.turn_id)))
    return out


def sensor_events(path: Path, key: X25519PrivateKey | None, *, passes: int, start_ns: int) -> Iterator[SensorEvent]:
    """What the sensors gave, `passes` times over, with the first entry at `start_ns`. Raises as `entries_of`."""
    at_ns = start_ns
    for _ in range(passes):
        first_ns = last_ns = None
        for entry in entries_of(path, key):
            if isinstance(entry, (AudioChunk, Frame, Button)):
                first_ns = entry.t_ns if first_ns is None else first_ns
                last_ns = entry.t_ns - first_ns
                yield replace(entry, t_ns=at_ns + last_ns)
        if last_ns is None:
            raise InputError(Reason.BAD_INPUT, f"{path} holds no sensor entries: nothing to replay")
        at_ns += last_ns + GAP_NS


def play(
    events: Iterable[SensorEvent],
    parts: Parts,
    detector: VoiceDetector,
    voice: Voice | None,
    *,
    fast: bool,
    put: Callable[[Entry], None] = lambda entry: None,
) -> Iterator[tuple[Heard, Answered]]:
    """Answers every turn in the events; what is decided and answered also goes to `put`. Raises ModelError."""
    for heard in listen(events if fast else paced(events), detector, parts.hear, parts.image_encoder):
        for part in heard.turn.parts:
            if isinstance(part, Latents):
                put(part)
        put(decision_of(heard))
        decided_ns = heard.span.decided_ns if fast else heard.decided_ns
        one = reply(parts, voice, heard, (decided_ns - heard.span.end_ns) / _MS, lambda text: None)
        answered = Answered(heard.span.decided_ns, heard.turn.id, one.text, one.wait_ms)
        put(answered)
        yield heard, answered


def played(heard: Heard, answered: Answered, origin_ns: int) -> Played:
    """A turn as it is compared."""
    latents = tuple(part for part in heard.turn.parts if isinstance(part, Latents))
    return Played(shifted(decision_of(heard), -origin_ns), latents, answered)


def shifted(one: Decision, by_ns: int) -> Decision:
    """The decision with all its times moved."""
    spoken = (one.spoken_ns[0] + by_ns, one.spoken_ns[1] + by_ns) if one.spoken_ns else None
    parts = tuple((kind, t if kind == "text" else t + by_ns, span, n) for kind, t, span, n in one.parts)
    return Decision(one.t_ns + by_ns, one.turn_id, one.cause, one.touched_ns + by_ns, one.end_ns + by_ns, spoken, parts)


def compare(before: Sequence[Played], after: Sequence[Played], limits: Tolerances) -> list[Difference]:
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


def _compare_turn(i: int, old: Played, new: Played, limits: Tolerances) -> Iterator[Difference]:
    a, b = old.decision, new.decision
    for what in ("touched_ns", "end_ns", "t_ns"):
        ms = [getattr(one, what) / _MS for one in (a, b)]
        name = {"t_ns": "decided"}.get(what, what.removesuffix("_ns"))
        yield Difference(i, name, "when_ms", f"{ms[0]:.0f} ms", f"{ms[1]:.0f} ms", abs(ms[0] - ms[1]) <= limits.when_ms)
    kinds = [f"{one.cause}: {' '.join(part[0] for part in one.parts)}" for one in (a, b)]
    yield Difference(i, "parts", "all", kinds[0], kinds[1], kinds[0] == kinds[1])
    if old.latents and len(old.latents) == len(new.latents):
        low = min(_cosine(one, other) for one, other in zip(old.latents, new.latents, strict=True))
        yield Difference(i, "latents", "latents_cosine", "1", f"{low:.4f}", low >= limits.latents_cosine)
    if old.answer and new.answer:
        words = [one.answer.text.split() for one in (old, new) if one.answer]
        matcher = difflib.SequenceMatcher(None, *words, autojunk=False)
        changed = max(len(side) for side in words) - sum(block.size for block in matcher.get_matching_blocks())
        yield Difference(i, "answer", "answer_words", old.answer.text, new.answer.text, changed <= limits.answer_words)
        yield from _compare_waits(i, old.answer.wait_ms, new.answer.wait_ms, limits)


def _compare_waits(i: int, old: dict[str, float], new: dict[str, float], limits: Tolerances) -> Iterator[Difference]:
    for stage in {**old, **new}:
        a, b = old.get(stage), new.get(stage)
        if a is None or b is None:  # without a voice on one side, say: not a difference of time
            continue
        slow, quick = max(a, b), max(min(a, b), 1e-3)
        within = slow - quick <= limits.wait_floor_ms or slow / quick <= limits.wait_ratio
        yield Difference(i, f"wait: {stage}", "wait_ratio", f"{a:.0f} ms", f"{b:.0f} ms", within)


def _cosine(one: Latents, other: Latents) -> float:
    if one.space != other.space:
        return 0.0
    a, b = one.data.mean(axis=0), other.data.mean(axis=0)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def _apart_ms(one: Played, other: Played) -> float:
    return abs(one.decision.touched_ns - other.decision.touched_ns) / _MS


def _at(one: Played) -> str:
    return f"{one.decision.cause} at {one.decision.touched_ns / 1e9:.1f} s"

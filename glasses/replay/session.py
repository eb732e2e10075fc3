"""Reads recorded sessions and the shipped demo session, and plays them through the replay engine.

Comparing two runs is done in diff.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from glasses.assistant.config import ACTIVATIONS, DEFAULT_CONVERSATION_MIN, Activation, activation_of
from glasses.errors import InputError, Reason
from glasses.events import ReplyState, TurnCompleted, TurnSignal
from glasses.memory.latent_memory import TIERS
from glasses.recording.demo_session import events as session_events
from glasses.recording.demo_session import load_session
from glasses.recording.entries import Answered, Decision, Entry, decision_of
from glasses.recording.folder import default_folder, opened, segments
from glasses.recording.mcap_file import CutOffError, read_entries
from glasses.replay.diff import RecordedTurn, shifted
from glasses.replay.replayed_reply import ReplayedReply
from glasses.replay.replayer import Given, ReplayEngine, Told
from glasses.types import AudioChunk, Button, DeviceChange, Frame, Latents

log = logging.getLogger(__name__)
Tell = Callable[..., None]  # a method of a logger
GAP_NS = 60_000_000_000  # between passes: every pass begins as a new stream, after the last reply was over


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How the glasses were worn that recorded it. `replies`: their reply's state is in the recording.
    `conversation_min`: how long turns knew those before; 0 in recordings older than that.
    """

    activation: Activation = "button"
    memory: bool = True
    replies: bool = False
    keep_replies: bool = False
    remember_s: float = TIERS[-1].until_s
    conversation_min: float = DEFAULT_CONVERSATION_MIN


@dataclass(slots=True)
class ReplayOutcome:
    """What was decided, in a recording or a replay; times count from the session's first sensor entry."""

    turns: list[RecordedTurn] = field(default_factory=list)
    gates: list[TurnSignal] = field(default_factory=list)


def session_files(path: Path) -> list[Path]:
    """The segments of a recording in order: one file, or a folder of them. Raises InputError(NOT_FOUND)."""
    found = [segment.path for segment in segments(path)] if path.is_dir() else [path]
    if not found or not found[0].exists():
        hint = f"`glasses run --record` keeps them in {default_folder()}, unless it is told otherwise"
        if path.is_dir():
            hint = "it holds no session.toml and no .mcap; a .part is finished by the next `glasses run --record`"
        raise InputError(Reason.NOT_FOUND, f"no recording at {path}: {hint}")
    return found


def entries_of(
    path: Path, key: X25519PrivateKey | None = None, *, tell: Tell = log.warning
) -> Iterator[Entry | dict[str, str]]:
    """All entries of a recording, or of a folder with session.toml as `glasses demo` plays it.

    Of a file that was cut off, and of a damaged one in a folder, what there is before; `tell` is told of it.
    Raises InputError: NOT_FOUND, REFUSED (sealed), CORRUPT (damaged).
    """
    if (path / "session.toml").is_file():
        yield from session_events(load_session(path))
        return
    for file in session_files(path):
        try:
            with opened(file, key) as stream:
                yield from read_entries(stream, file.name, tell=tell)
        except CutOffError as error:  # by a kill while it was sealed, or by a full disk: the session goes on after it
            tell("%s", error)
        except InputError as error:
            if error.reason is not Reason.CORRUPT or not path.is_dir():
                raise
            tell("%s; what comes after that in it is left out", error)  # one bad file of a day is not the day


def worn_of(path: Path, key: X25519PrivateKey | None = None) -> SessionConfig:
    """As the recording says; sensors alone, as in the demo's minute, were worn as `glasses run` is without options.

    Raises InputError as `entries_of`, BAD_INPUT where it holds no sensor entries, and CORRUPT for a way to be addressed
    that nobody knows.
    """
    about: dict[str, str] = {}
    for entry in entries_of(path, key, tell=log.debug):
        if isinstance(entry, dict):
            about = about or entry
        elif isinstance(entry, (AudioChunk, Frame, Button)):
            break
    else:
        raise InputError(Reason.BAD_INPUT, f"{path} holds no sensor entries: nothing to replay")
    given = about.get("activation") or about.get("address")  # "address" and the keys below it: written until 0.1
    if given is None:
        return SessionConfig()
    activation = activation_of(given)
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(Reason.CORRUPT, f"{path}: activated by {given!r}, known are {known}")
    try:
        former_s = 0.0 if about.get("memory") == "no" else float(about.get("remember_s", TIERS[-1].until_s))
        memory_s = 60 * float(about["memory_minutes"]) if "memory_minutes" in about else former_s
        conversation_min = float(about.get("conversation_minutes", 0))
    except ValueError as error:
        raise InputError(Reason.CORRUPT, f"{path}: how long it remembered is no number: {error}") from error
    keep_replies = about.get("keep_replies", about.get("transcript")) == "yes"
    remember_s = min(max(memory_s, 1.0), TIERS[-1].until_s)
    return SessionConfig(activation, memory_s > 0, True, keep_replies, remember_s, max(conversation_min, 0.0))


def _origin_of(path: Path, about: Mapping[str, str]) -> int | None:
    try:
        return int(about["origin_ns"]) if "origin_ns" in about else None
    except ValueError as error:
        raise InputError(Reason.CORRUPT, f"{path}: its origin is no time: {error}") from error


def recorded(path: Path, key: X25519PrivateKey | None = None, *, tell: Tell = log.warning) -> ReplayOutcome:
    """What a recording says was decided and answered; `tell` is told what it lacks. Raises as `entries_of`."""
    origin_ns: int | None = None
    latents: dict[tuple[str, int, int], Latents] = {}
    decisions: list[Decision] = []
    answers: dict[tuple[int, int], Answered] = {}  # a turn that was gone on with was decided, and answered, twice
    seen = ReplayOutcome()
    for entry in entries_of(path, key, tell=tell):
        if isinstance(entry, dict):
            origin_ns = _origin_of(path, entry) if origin_ns is None else origin_ns
        elif isinstance(entry, Latents):
            latents[entry.modality, entry.t_ns, entry.duration_ns] = entry
        elif isinstance(entry, Decision):
            decisions.append(entry)
        elif isinstance(entry, Answered):
            answers[entry.turn_id, entry.t_ns] = entry
        elif isinstance(entry, TurnSignal):
            seen.gates.append(entry)
        elif origin_ns is None and isinstance(entry, (AudioChunk, Frame, Button)):
            origin_ns = entry.t_ns
    for one in decisions:
        kept = tuple(latents[part[:3]] for part in one.parts if part[:3] in latents)
        seen.turns.append(RecordedTurn(shifted(one, -(origin_ns or 0)), kept, answers.get((one.turn_id, one.t_ns))))
    seen.gates = [replace(one, t_ns=one.t_ns - (origin_ns or 0)) for one in seen.gates]
    return seen


def given(path: Path, key: X25519PrivateKey | None, *, passes: int, start_ns: int) -> Iterator[Given]:
    """What the listener got, `passes` times over, the first sensor entry at `start_ns`. Raises as `entries_of`."""
    at_ns, turn_id = start_ns, 0
    for number in range(passes):
        first_ns, last_ns = None, at_ns
        if number:  # whatever was open or being said is over
            yield ReplyState(at_ns - GAP_NS, turn_id, "finished")
            yield DeviceChange(at_ns - GAP_NS, "muted")
        for entry in entries_of(path, key, tell=log.debug if number else log.warning):
            if isinstance(entry, dict | Latents | TurnSignal):
                continue
            if first_ns is None and not isinstance(entry, (AudioChunk, Frame, Button)):
                continue
            first_ns = entry.t_ns if first_ns is None else first_ns
            moved = replace(entry, t_ns=at_ns + entry.t_ns - first_ns)
            turn_id = entry.turn_id if isinstance(entry, Decision) else turn_id
            last_ns = max(last_ns, moved.t_ns)
            yield moved
        if first_ns is None:
            raise InputError(Reason.BAD_INPUT, f"{path} holds no sensor entries: nothing to replay")
        at_ns = last_ns + GAP_NS


def play(
    events: Iterable[Given],
    engine: ReplayEngine,
    tell: Callable[[Told], None],
    *,
    put: Callable[[Entry], None] = lambda entry: None,
) -> None:
    """Runs the engine; what it tells goes to `put` too, as entries of a recording. Raises as `ReplayEngine.run`."""

    def on_told(what: Told) -> None:
        if isinstance(what, TurnSignal):
            put(what)
        elif isinstance(what, TurnCompleted):
            for part in what.turn.inputs:
                if isinstance(part, Latents):
                    put(part)
            put(decision_of(what))
        elif isinstance(what, ReplayedReply):
            put(answered_of(what))
        tell(what)

    engine.run(events, on_told)


def answered_of(replied: ReplayedReply) -> Answered:
    """What is recorded of an answer."""
    ended, n_played = replied.ended, replied.n_tokens_played
    return Answered(ended.span.decided_ns, ended.turn.id, replied.text, replied.wait_ms, replied.outcome, n_played)


def note(what: Told, seen: ReplayOutcome, origin_ns: int) -> None:
    """Adds what `play` gave."""
    if isinstance(what, TurnSignal):
        seen.gates.append(replace(what, t_ns=what.t_ns - origin_ns))
    elif isinstance(what, ReplayedReply):
        latents = tuple(part for part in what.ended.turn.inputs if isinstance(part, Latents))
        seen.turns.append(RecordedTurn(shifted(decision_of(what.ended), -origin_ns), latents, answered_of(what)))

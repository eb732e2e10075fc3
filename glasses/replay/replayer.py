"""The live spine from a stream of what was recorded: the same ear, gates, heads and memory, on one thread.

What `glasses run` recorded holds what its ear was told of the reply (when it sounded, when it was over) and of its own
voice in the microphone: that is given to the ear again, as the sound that follows depends on it. Where a stream has
sensors alone, as the demo's minute, each reply sounds from the decision on for as long as it is. Knows no file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from glasses.assistant.kv_context import KvContext
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.reply import tokens_heard
from glasses.assistant.responder import MAX_TOKENS
from glasses.assistant.setup import SAID, MemoryRecall, open_listener
from glasses.backbone.repetition import stop_on_repetition
from glasses.decoders.clauses import clauses
from glasses.decoders.speech import Voice
from glasses.events import Clause, Draft, Outcome, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal
from glasses.memory.writer import MemoryWriter
from glasses.recording.entries import Answered, Decision
from glasses.runtime.bundle import LoadedBundle
from glasses.types import NS_PER_MS, NS_PER_S, DeviceChange, Float32Array, OwnVoice, SensorEvent, Wiped

Given = SensorEvent | ReplyState | OwnVoice | DeviceChange | Wiped | Decision | Answered
_UNCLAIMED_NS = NS_PER_S  # a turn that the recording does not have by then had no reply there


@dataclass(frozen=True, slots=True)
class ReplayedReply:
    """A turn's answer. `wait_ms` passed from the end of speech to the first sound (or text), part by part, in order."""

    ended: TurnCompleted
    tokens: tuple[str, ...]
    pcm: Float32Array | None  # at the voice's rate; None without a voice
    clauses: tuple[Clause, ...]
    wait_ms: dict[str, float]

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self.tokens).strip()


class ReplayEngine:
    """`feed` one thing at a time; signals of the ear come back in order, and after each Ended what it is answered."""

    def __init__(
        self,
        loaded: LoadedBundle,
        voice: Voice | None,
        *,
        address: str = "touch",
        memory: MemoryWriter | None = None,
        transcript: bool = False,
        replies_recorded: bool = False,
        on_clock: bool = False,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`address` is one of wear.ADDRESS; `on_clock`: the stream comes in its own time, so waits are of this clock.

        Raises ModelError as open_ear does.
        """
        self._loaded, self._voice, self._memory, self._on_text = loaded, voice, memory, on_text
        self._recalling = MemoryRecall(loaded, memory, transcript=transcript)
        # As fast as it goes, what is decided must not hang on how long a draft takes on this machine.
        config = ListenerConfig() if on_clock else ListenerConfig(max_speculative_draft_ms=math.inf)
        self._ear = open_listener(loaded, address, self._recalling.recall, config=config)
        self._context = KvContext(loaded)
        self._recorded, self._on_clock = replies_recorded, on_clock
        self._own_voice = False
        self._turns: dict[int, int] = {}  # the recording's turn -> the ear's
        self._early: list[ReplyState] = []  # of a turn that the ear has not ended yet
        self._unclaimed: TurnCompleted | None = None
        self._sounding: ReplayedReply | None = None  # ours, until it is over

    def feed(self, given: Given) -> Iterator[Signal | ReplayedReply]:
        """Takes one thing, in order of time. Raises InputError and ModelError as ear and backbone do."""
        yield from self._answered(self._over_by(given.t_ns))
        yield from self._answered(self._take(given))

    def _answered(self, signals: Iterable[Signal]) -> Iterator[Signal | ReplayedReply]:
        for signal in signals:
            if isinstance(signal, TurnSignal) and signal.event is TurnEvent.INTERRUPTED:
                self._cut(signal)
            yield signal
            if isinstance(signal, TurnCompleted):
                yield self._reply(signal)
                for state in [state for state in self._early if state.turn_id == signal.turn.id]:
                    self._ear.feed(state)
                self._early.clear()

    def _take(self, given: Given) -> list[Signal]:
        if isinstance(given, ReplyState):
            return self._told(given)
        if isinstance(given, Decision):
            self._turns[given.turn_id] = self._ear.turn_id
            if self._unclaimed and self._unclaimed.turn.id == self._ear.turn_id:
                self._unclaimed = None
        elif isinstance(given, Answered):
            if given.outcome in SAID:
                self._recalling.said(given.turn_id, given.text, given.t_ns)
            if given.outcome is Outcome.INTERRUPTED:
                self._context.keep_heard(given.n_tokens_played)
        elif isinstance(given, OwnVoice):
            self._own_voice = given.on
        elif isinstance(given, Wiped):
            if self._memory:
                self._memory.wipe()
            self._recalling.forget()
        elif isinstance(given, DeviceChange):
            return self._switched(given)
        else:
            return self._sense(given)
        return []

    def _sense(self, event: SensorEvent) -> list[Signal]:
        signals = [*self._ear.tick(event.t_ns), *self._ear.feed(event, own_voice=self._own_voice)]
        if self._memory:
            speech = self._own_voice or self._ear.hears_speech or self._ear.replying
            self._memory.observe(event, speech=speech)
            self._memory.settle()
        return signals

    def _switched(self, change: DeviceChange) -> list[Signal]:
        if change.state == "muted" and self._memory:
            self._memory.discard_unfinished()
        return self._ear.forget(change.t_ns) if change.state in ("muted", "unmuted") else []

    def _told(self, state: ReplyState) -> list[Signal]:
        """What was recorded of a reply; of a turn that the ear ends a little later than then, when it does."""
        mine = replace(state, turn_id=self._turns.get(state.turn_id, -1))
        if mine.turn_id == self._ear.turn_id and not self._ear.replying:
            self._early.append(mine)
            return []
        return self._ear.feed(mine)

    def _over_by(self, t_ns: int) -> list[Signal]:
        """Replies that are over by now, of which no recording tells."""
        ended, over_ns = None, 0
        if self._sounding:
            ended, over_ns = self._sounding.ended, self._ends_ns(self._sounding)
        elif self._unclaimed:
            ended, over_ns = self._unclaimed, self._unclaimed.span.decided_ns + _UNCLAIMED_NS
        if ended is None or t_ns < over_ns:
            return []
        self._sounding = self._unclaimed = None
        return self._ear.feed(ReplyState(over_ns, ended.turn.id, "finished"))

    def _ends_ns(self, replied: ReplayedReply) -> int:
        rate_hz = self._voice.rate_hz if self._voice else 1
        return replied.ended.span.decided_ns + sum(one.n_samples for one in replied.clauses) * NS_PER_S // rate_hz

    def _cut(self, told: TurnSignal) -> None:
        """One of our own replies is talked over: the context keeps what was heard of it."""
        replied, self._sounding = self._sounding, None
        if replied is None or told.continues_turn or self._voice is None:
            return
        left = (told.t_ns - replied.ended.span.decided_ns) * self._voice.rate_hz // NS_PER_S
        for clause in replied.clauses:
            clause.n_samples_played = min(max(left, 0), clause.n_samples)
            left -= clause.n_samples_played
        self._context.keep_heard(tokens_heard(list(replied.tokens), list(replied.clauses)))

    def _reply(self, ended: TurnCompleted) -> ReplayedReply:
        draft = self._ear.last_draft
        assert draft is not None
        replied = self._written(ended, draft)
        if self._recorded:
            self._unclaimed = ended
        else:
            self._sounding = replied
            if draft.memory_intent != "repeat":
                self._recalling.said(ended.turn.id, replied.text, ended.span.decided_ns)
            self._ear.feed(ReplyState(ended.span.decided_ns, ended.turn.id, "audible"))
        return replied

    def _written(self, ended: TurnCompleted, draft: Draft) -> ReplayedReply:
        decided_ns = ended.decided_ns if self._on_clock else ended.span.decided_ns
        encode_ms = max(0, draft.work_ns[1] - max(draft.work_ns[0], ended.decided_ns)) / NS_PER_MS
        waits = _Waits(
            {"silence": (decided_ns - ended.span.end_ns) / NS_PER_MS, "encode": encode_ms}, time.monotonic_ns()
        )
        pieces, texts, said, spoken = list[str](), list[str](), list[Clause](), list[Float32Array]()
        written = self._pieces(draft, pieces, waits)
        if self._voice is None:
            for _ in written:
                waits.first("write")
            return ReplayedReply(ended, tuple(pieces), None, (), waits.ms)

        def clause_by_clause() -> Iterator[str]:
            for text in clauses(written):
                waits.first("write")
                texts.append(text)
                yield text

        for pcm in self._voice.speak(clause_by_clause()):
            waits.first("voice")
            said.append(Clause(draft.turn.id, texts[-1], len(pcm)))
            spoken.append(pcm)
        sound = np.concatenate(spoken) if spoken else np.zeros(1, np.float32)
        return ReplayedReply(ended, tuple(pieces), sound, tuple(said), waits.ms)

    def _pieces(self, draft: Draft, pieces: list[str], waits: _Waits) -> Iterator[str]:
        """What is said, as it is written; noted in `pieces`."""
        texts: Iterable[str] = (self._recalling.instead(draft),)
        if texts == ("",):
            self._context.prefill(draft)
            waits.first("prefill")
            told = stop_on_repetition(self._loaded.backbone.generate(draft.turn.id, max_tokens=MAX_TOKENS))
            texts = (piece.text for piece in told)
        for text in texts:
            pieces.append(text)
            self._on_text(text)
            yield text


@dataclass(slots=True)
class _Waits:
    """What the first sound waited for, stage by stage; each stage counts once, from the end of the one before."""

    ms: dict[str, float]
    since_ns: int

    def first(self, stage: str) -> None:
        """The stage gave its first result."""
        now_ns = time.monotonic_ns()
        if stage not in self.ms:
            self.ms[stage], self.since_ns = (now_ns - self.since_ns) / NS_PER_MS, now_ns

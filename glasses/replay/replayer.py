"""Runs the live pipeline from a recorded stream: the same listener, heads, memory and reply writer, on one thread.

A recording of `glasses run` holds when its replies were audible and finished, and when the microphone heard the
assistant's own voice. The listener is given the same again, for the sound that follows depends on it. A stream of
sensor events alone, such as the shipped demo session, has no replies: each sounds from the decision on for as long as
it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from glasses.assistant.config import Activation
from glasses.assistant.kv_context import KvContext
from glasses.assistant.listener_config import ListenerConfig
from glasses.assistant.reply import CompletedTurn, record_work, tokens_heard
from glasses.assistant.reply_writer import ReplyWriter, write_locally
from glasses.assistant.setup import SAID, MemoryRecall, open_listener
from glasses.decoders.speech import Voice
from glasses.events import Clause, Outcome, Reply, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal
from glasses.memory.writer import MemoryWriter
from glasses.recording.entries import Answered, Decision
from glasses.replay.recorded_replies import RecordedReplies
from glasses.runtime.bundle import LoadedBundle
from glasses.types import NS_PER_MS, NS_PER_S, DeviceChange, Float32Array, OwnVoice, SensorEvent, Wiped

Given = SensorEvent | ReplyState | OwnVoice | DeviceChange | Wiped | Decision | Answered


@dataclass(frozen=True, slots=True)
class ReplayedReply:
    """The reply to a turn.

    `wait_ms`: from the end of speech to the first sound, or to the first text without a voice, stage by stage in order.
    """

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
    """`feed` one thing at a time; it yields the listener's signals in order, and after each TurnCompleted its reply."""

    def __init__(
        self,
        loaded: LoadedBundle,
        voice: Voice | None,
        *,
        activation: Activation = "button",
        memory: MemoryWriter | None = None,
        keep_replies: bool = False,
        replies_recorded: bool = False,
        on_clock: bool = False,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`activation` is what starts a turn. `replies_recorded`: the stream holds what became of its replies.
        `on_clock`: the stream comes in its own time, so waits are measured on this host's clock.

        Raises ModelError as `open_listener` does.
        """
        self._voice, self._memory = voice, memory
        self._recalling = MemoryRecall(loaded, memory, keep_replies=keep_replies)
        # As fast as it goes, what is decided must not hang on how long a draft takes on this machine.
        config = ListenerConfig() if on_clock else ListenerConfig(max_speculative_draft_ms=math.inf)
        self._listener = open_listener(loaded, activation, self._recalling.recall, config=config)
        self._context = KvContext(loaded)
        self._writer = ReplyWriter(write_locally(loaded.backbone), voice, lambda reply: on_text(reply.tokens[-1].text))
        self._recorded = RecordedReplies() if replies_recorded else None
        self._on_clock = on_clock
        self._own_voice = False
        self._sounding: ReplayedReply | None = None  # made here, until its last sample would have been played

    def feed(self, given: Given) -> Iterator[Signal | ReplayedReply]:
        """Takes one thing, in order of time. Raises InputError and ModelError as listener and backbone do."""
        yield from self._answered(self._finished_by(given.t_ns))
        yield from self._answered(self._take(given))

    def _answered(self, signals: Iterable[Signal]) -> Iterator[Signal | ReplayedReply]:
        for signal in signals:
            if isinstance(signal, TurnSignal) and signal.event is TurnEvent.INTERRUPTED:
                self._cut(signal)
            yield signal  # before the reply is made: whoever shows its text as it comes has seen the turn
            if isinstance(signal, TurnCompleted):
                yield self._reply(signal)
                for state in self._recorded.completed(signal) if self._recorded else ():
                    self._listener.feed(state)

    def _take(self, given: Given) -> list[Signal]:
        if isinstance(given, ReplyState):
            return self._state(given)
        if isinstance(given, Decision):
            if self._recorded:
                self._recorded.decided(given.turn_id, self._listener.turn_id)
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
            return self._device_changed(given)
        else:
            return self._sense(given)
        return []

    def _sense(self, event: SensorEvent) -> list[Signal]:
        signals = [*self._listener.tick(event.t_ns), *self._listener.feed(event, own_voice=self._own_voice)]
        if self._memory:
            speech = self._own_voice or self._listener.hears_speech or self._listener.replying
            self._memory.observe(event, speech=speech)
            self._memory.settle()
        return signals

    def _device_changed(self, change: DeviceChange) -> list[Signal]:
        if change.state == "muted" and self._memory:
            self._memory.discard_unfinished()
        return self._listener.forget(change.t_ns) if change.state in ("muted", "unmuted") else []

    def _state(self, recorded: ReplyState) -> list[Signal]:
        if self._recorded is None:
            return []
        turn_id, completed = self._listener.turn_id, self._listener.replying
        state = self._recorded.state(recorded, turn_id, is_completed=completed)
        return self._listener.feed(state) if state else []

    def _finished_by(self, t_ns: int) -> list[Signal]:
        """Replies that are over by now, of which no recording tells."""
        if self._recorded:
            state = self._recorded.without_reply(t_ns)
            return self._listener.feed(state) if state else []
        if self._sounding is None or t_ns < (end_ns := self._end_ns(self._sounding)):
            return []
        turn_id, self._sounding = self._sounding.ended.turn.id, None
        return self._listener.feed(ReplyState(end_ns, turn_id, "finished"))

    def _end_ns(self, reply: ReplayedReply) -> int:
        rate_hz = self._voice.rate_hz if self._voice else 1
        return reply.ended.span.decided_ns + sum(one.n_samples for one in reply.clauses) * NS_PER_S // rate_hz

    def _cut(self, signal: TurnSignal) -> None:
        """A reply made here is interrupted: the KV cache keeps what was heard of it."""
        reply, self._sounding = self._sounding, None
        if reply is None or signal.continues_turn or self._voice is None:
            return
        left = (signal.t_ns - reply.ended.span.decided_ns) * self._voice.rate_hz // NS_PER_S
        for clause in reply.clauses:
            clause.n_samples_played = min(max(left, 0), clause.n_samples)
            left -= clause.n_samples_played
        self._context.keep_heard(tokens_heard(list(reply.tokens), list(reply.clauses)))

    def _reply(self, completed: TurnCompleted) -> ReplayedReply:
        draft = self._listener.last_draft
        assert draft is not None
        reply = Reply(draft, 1, ended=completed, canned_reply=self._recalling.instead(draft))
        replied = self._write(reply, completed)
        if self._recorded is None:
            self._sounding = replied
            if draft.memory_intent != "repeat":
                self._recalling.said(completed.turn.id, replied.text, completed.span.decided_ns)
            self._listener.feed(ReplyState(completed.span.decided_ns, completed.turn.id, "audible"))
        return replied

    def _write(self, reply: Reply, completed: TurnCompleted) -> ReplayedReply:
        draft, since_ns = reply.draft, time.monotonic_ns()
        if not reply.canned_reply:
            self._context.prefill(draft)
            record_work(reply, "prefill", since_ns)
        clauses, sounds, pcm = list[Clause](), list[Float32Array](), None
        if self._voice is None:
            since_ns = time.monotonic_ns()
            for i, _ in enumerate(self._writer.tokens(reply, draft, CompletedTurn())):
                if i == 0:
                    record_work(reply, "write", since_ns)
        else:
            for clause in self._writer.spoken(reply, draft, CompletedTurn()):
                clauses.append(Clause(draft.turn.id, clause.text, len(clause.pcm)))
                sounds.append(clause.pcm)
            pcm = np.concatenate(sounds) if sounds else np.zeros(1, np.float32)
        tokens = tuple(token.text for token in reply.tokens)
        return ReplayedReply(completed, tokens, pcm, tuple(clauses), self._wait_ms(reply, completed))

    def _wait_ms(self, reply: Reply, completed: TurnCompleted) -> dict[str, float]:
        """What the first sound waited for: the end of a silence, then the first work of each stage."""
        decided_ns = completed.decided_ns if self._on_clock else completed.span.decided_ns
        began_ns, ended_ns = reply.draft.work_ns
        ms = {
            "silence": (decided_ns - completed.span.end_ns) / NS_PER_MS,
            "encode": max(0, ended_ns - max(began_ns, completed.decided_ns)) / NS_PER_MS,
        }
        for work in reply.work:
            ms.setdefault(work.stage, (work.ended_ns - work.began_ns) / NS_PER_MS)
        return ms

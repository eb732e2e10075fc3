"""THE LIVE SPINE, second half: drafts of a turn become an answer that is ready before the wearer is done.

Each draft is fed from where it first differs from the one before. To one made in a pause, which may be all, the first
clause is written and spoken into memory; once the turn has ended it sounds at once, and the rest is written while it
does. A draft that says something else, or an interruption, stops the work within one decode step. After an interruption
the context holds what was *heard* of the reply, nothing more.

`Responder.run` belongs to the thread that opened the backbone; `hear` may be called from another and never waits for
it. Knows no sensor and no gate.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from glasses.assistant.kv_context import KvContext
from glasses.assistant.reply import same_rows, tokens_heard
from glasses.backbone.repetition import stop_on_repetition
from glasses.decoders.clauses import clauses
from glasses.decoders.speech import Voice
from glasses.devices.speaker import AudioOutput
from glasses.errors import ModelError, Reason
from glasses.events import Clause, Draft, Outcome, Reply, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal, Work
from glasses.runtime.bundle import LoadedBundle
from glasses.types import NS_PER_MS, Token

log = logging.getLogger(__name__)
MAX_TOKENS = 64
EXPIRES_MS = 8000  # nobody waits longer for a first sound


# The pieces of an answer to a draft that was fed; the second says whether nobody wants them any more.
Write = Callable[[Draft, Callable[[], bool]], Iterator[Token]]


class Responder:
    """One reply at a time; the newest draft wins."""

    def __init__(
        self,
        loaded: LoadedBundle,
        voice: Voice | None,
        speaker: AudioOutput | None,
        *,
        tell: Callable[[ReplyState], None],
        watch: Callable[[Reply], None] = lambda reply: None,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`tell` reaches the ear; `watch` gets each reply when it is over; `on_text` each piece that will be said."""
        self._loaded, self._voice, self.speaker = loaded, voice, speaker
        self._tell, self._watch, self._on_text = tell, watch, on_text
        self._changed = threading.Condition()
        self._wanted: Reply | None = None  # newest draft
        self._made: Reply | None = None  # the one being worked on, or worked off
        self._cut: Reply | None = None  # it was interrupted, and the context does not follow it yet
        self._stopped = False
        self._busy = False
        self._context = KvContext(loaded)
        self._clause_ns = 0  # when the newest clause was written
        self.on_progress: Callable[[], None] = lambda: None  # fed to the watchdog
        # What is said to a draft instead of what the backbone would write; "" is nothing.
        self.instead: Callable[[Draft], str] = lambda draft: ""
        self.write: Write = lambda draft, stale: stop_on_repetition(
            loaded.backbone.generate(draft.turn.id, max_tokens=MAX_TOKENS)
        )

    def hear(self, signal: Signal) -> None:
        """Takes a signal of the ear; from any thread."""
        with self._changed:
            if isinstance(signal, Draft):
                self._take(signal)
            elif isinstance(signal, TurnCompleted):
                if self._wanted and self._wanted.draft.turn.id == signal.turn.id:
                    self._wanted.ended = signal
                    if self._wanted.outcome:  # it failed while the wearer still spoke
                        self._tell(ReplyState(signal.decided_ns, signal.turn.id, "finished"))
            elif signal.event is TurnEvent.BARGE_IN_PENDING and self.speaker:
                self.speaker.pause()
            elif signal.event is TurnEvent.BARGE_IN_REJECTED and self.speaker:
                self.speaker.unpause()
            elif signal.event in (TurnEvent.INTERRUPTED, TurnEvent.TIMED_OUT, TurnEvent.NOT_ADDRESSED):
                self._interrupt(signal)
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends `run`; from any thread."""
        with self._changed:
            self._stopped = True
            self._abort()
            self._changed.notify_all()

    def run(self) -> None:
        """Works until `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._wanted is not self._made or self._cut, 0.5)
                if self._stopped:
                    return
                self.on_progress()
                cut, self._cut = self._cut, None
                reply, fresh = self._wanted, self._wanted is not self._made
                self._made, self._busy = reply, True
                self._loaded.backbone.clear_abort()
            try:
                if cut:
                    self._context.keep_heard(cut.n_tokens_played)
                if reply and fresh:
                    self._answer(reply)
            except ModelError as error:
                self._failed(reply, error)
            finally:
                with self._changed:
                    self._busy = False

    def _take(self, draft: Draft) -> None:
        """A draft with the same rows as the one before changes nothing but the turn that is recorded, if it is as much
        of a pause.
        """
        before = self._wanted
        same = before is not None and before.draft.turn.id == draft.turn.id and before.ended is None
        known = same and before is not None and before.draft.may_be_complete == draft.may_be_complete
        n_rows = len(draft.rows)
        if before and known and same_rows(before.draft.rows, draft.rows) == n_rows == len(before.draft.rows):
            before.draft = replace(draft, rows=before.draft.rows)  # the answer is made from these
            before.work.append(Work(draft.turn.id, before.number, "encode", *draft.work_ns))
            return
        number = before.number + 1 if before and same else 1
        work = [*before.work] if before and same else []
        work.append(Work(draft.turn.id, number, "encode", *draft.work_ns))
        self._wanted = Reply(draft, number, work=work)
        self._abort()

    def _interrupt(self, told: TurnSignal) -> None:
        heard = self.speaker.silence() if self.speaker else []
        reply = self._wanted
        self._abort()
        if reply is None or reply.outcome:
            return
        reply.outcome = (
            Outcome.CONTINUED
            if told.continues_turn
            else Outcome.INTERRUPTED
            if told.event is TurnEvent.INTERRUPTED
            else Outcome.TIMED_OUT
        )
        self._wanted = self._made = None
        if reply.ended:
            if not told.continues_turn and not reply.canned_reply:
                reply.n_tokens_played = tokens_heard([piece.text for piece in reply.tokens], heard)
            self._cut = reply
            self._watch(reply)

    def _abort(self) -> None:
        if self._busy:
            self._loaded.backbone.abort()
            if self._voice:
                self._voice.abort()

    def _stale(self, reply: Reply) -> bool:
        return self._stopped or self._wanted is not reply or bool(reply.outcome)

    def _answer(self, reply: Reply) -> None:
        reply.canned_reply = self.instead(reply.draft)
        if not reply.canned_reply:
            self._prefill(reply)
        if not reply.draft.may_be_complete:
            return
        if self._voice is None or self.speaker is None:
            if self._committed(reply):
                for _ in self._written(reply):
                    pass
                self._over(reply)
            return
        texts: list[str] = []
        for pcm in self._voice.speak(self._clauses(reply, texts)):
            self._did(reply, "voice", self._clause_ns)
            if self._stale(reply) or not self._committed(reply):
                return
            clause = self.speaker.play(reply.draft.turn.id, texts[-1], pcm)
            reply.clauses.append(texts[-1])
            if len(reply.clauses) == 1:
                self._sounds(reply, clause)
        if not self._stale(reply) and self._committed(reply):
            self._said(reply)

    def _prefill(self, reply: Reply) -> None:
        since_ns = time.monotonic_ns()
        reply.n_reused_rows = self._context.prefill(reply.draft)
        reply.draft = replace(reply.draft, rows=self._context.fed)
        self._did(reply, "prefill", since_ns)

    def _written(self, reply: Reply) -> Iterator[str]:
        shown, turn_id = 0, reply.draft.turn.id
        said = [Token(turn_id, -1, reply.canned_reply, 0.0, None, True)] if reply.canned_reply else None
        for piece in said or self.write(reply.draft, lambda: self._stale(reply)):
            self.on_progress()
            reply.first_token_ns = reply.first_token_ns or time.monotonic_ns()
            reply.tokens.append(piece)
            if reply.ended:
                self._on_text("".join(p.text for p in reply.tokens[shown:]))
                shown = len(reply.tokens)
            yield piece.text
            if self._stale(reply):
                return
        if reply.ended is None and self._committed(reply):
            self._on_text("".join(p.text for p in reply.tokens[shown:]))

    def _clauses(self, reply: Reply, texts: list[str]) -> Iterator[str]:
        since_ns = time.monotonic_ns()
        for text in clauses(self._written(reply)):
            texts.append(text)
            self._clause_ns = self._did(reply, "write", since_ns)
            yield text
            since_ns = time.monotonic_ns()

    def _committed(self, reply: Reply) -> bool:
        """Waits until the turn has ended; False where it became another turn, or nobody waits for it any more."""
        with self._changed:
            self._busy = False
            while not self._stale(reply) and reply.ended is None:
                self._changed.wait(0.5)
                self.on_progress()
            self._busy = True
        if self._stale(reply) or reply.ended is None:
            return False
        late = time.monotonic_ns() - reply.ended.decided_ns > EXPIRES_MS * NS_PER_MS
        if late and reply.audible_ns is None and not reply.clauses:
            reply.outcome = Outcome.TIMED_OUT
            self._over(reply)
        return not reply.outcome

    def _sounds(self, reply: Reply, clause: Clause) -> None:
        """Notes when the first sample leaves the device: it was queued a moment ago."""
        limit_ns = time.monotonic_ns() + 200 * NS_PER_MS
        while clause.first_ns is None and time.monotonic_ns() < limit_ns:
            time.sleep(0.002)
        reply.audible_ns = clause.first_ns or time.monotonic_ns()
        self._tell(ReplyState(reply.audible_ns, reply.draft.turn.id, "audible"))

    def _said(self, reply: Reply) -> None:
        """Waits for the last sample; a speaker that is gone ends it too."""
        assert self.speaker is not None
        with self._changed:
            self._busy = False
            while not self._stale(reply) and self.speaker.is_speaking and not self.speaker.gone:
                self._changed.wait(0.02)
                self.on_progress()
        if not self._stale(reply):
            self._over(reply)

    def _over(self, reply: Reply) -> None:
        reply.outcome = reply.outcome or (Outcome.COMPLETED if reply.text else Outcome.EMPTY)
        self._tell(ReplyState(time.monotonic_ns(), reply.draft.turn.id, "finished"))
        self._watch(reply)

    def _failed(self, reply: Reply | None, error: ModelError) -> None:
        """An abort is somebody's wish; anything else ends this reply, not the process."""
        if error.reason is Reason.ABORTED:
            with self._changed:
                if reply is not None and self._wanted is reply and not reply.outcome:
                    self._made = None  # the abort was meant for the work before: once more
            return
        log.error("no answer: %s", error)
        if reply is not None and not reply.outcome:
            reply.outcome = Outcome.FAILED
            self._over(reply)

    def _did(self, reply: Reply, stage: str, since_ns: int) -> int:
        self.on_progress()
        now_ns = time.monotonic_ns()
        reply.work.append(Work(reply.draft.turn.id, reply.number, stage, since_ns, now_ns))
        return now_ns

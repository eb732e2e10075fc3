"""The second half of the pipeline: drafts of a turn become a reply that is ready before the user is done speaking.

Each draft is fed from where it first differs from the KV cache. To a draft that may be complete, the first clauses are
written and spoken into memory; once the turn is completed they are played at once, and the rest is written meanwhile.
A draft that says something else, or an interruption, stops the work within one decode step. Of a turn that is over the
cache keeps what was heard of the reply, nothing more, and the next turn knows it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from glasses.assistant.announcing import Announcing
from glasses.assistant.clock import Clock, HostClock
from glasses.assistant.config import DEFAULT_CONVERSATION_MIN
from glasses.assistant.conversation import Conversation, OnKept
from glasses.assistant.inbox import Announce, Basis, Cut, Forget, Inbox, NewDraft, Stop
from glasses.assistant.kv_context import KvContext
from glasses.assistant.playback import Playback
from glasses.assistant.reply import (
    IDLE_S,
    PolledTurn,
    ReplyStage,
    ShownText,
    Synthesizer,
    Write,
    is_late,
    record_work,
    reply_to,
    same_rows,
    tokens_heard,
)
from glasses.assistant.reply_writer import ReplyWriter, write_locally
from glasses.assistant.tool_turn import ToolTurns
from glasses.backbone.handover import Handover
from glasses.devices.speaker import AudioOutput
from glasses.errors import ModelError, Reason
from glasses.events import Draft, Outcome, Reply, ReplyState, Signal, TurnCompleted, TurnEvent, Work
from glasses.runtime.bundle import LoadedBundle

log = logging.getLogger(__name__)


class Responder:
    """One reply at a time; the newest draft wins.

    `run` belongs to the thread that opened the backbone. `put`, `stop` and `use_speaker` may be called from any thread
    and never wait. All callbacks are called from `run`'s thread, with no lock held.
    """

    def __init__(
        self,
        loaded: LoadedBundle,
        voice: Synthesizer | None,
        speaker: AudioOutput | None,
        *,
        on_state: Callable[[ReplyState], None],
        on_reply: Callable[[Reply], None] = lambda reply: None,
        on_text: Callable[[str], None] = lambda text: None,
        on_announced: Callable[[int, float], None] = lambda id, share: None,
        on_progress: Callable[[], None] = lambda: None,
        canned_reply: Callable[[Draft], str] = lambda draft: "",
        tools: ToolTurns | None = None,
        write: Write | None = None,
        clock: Clock | None = None,
        handover: Handover | None = None,
        conversation_minutes: float = DEFAULT_CONVERSATION_MIN,
        on_kept: OnKept = lambda turn, said: None,
        use_persona: Callable[[str], int | None] = lambda name: None,
    ) -> None:
        """Without `voice` or `speaker` replies are text only.

        `on_state`: a reply is audible or finished. `on_reply`: a reply to a completed turn ended. `on_text`: the next
        text of a reply to a completed turn. `on_announced`: which announcement is over, and the share of it that was
        heard. `on_progress`: a sign of life. `canned_reply`: what is said to a draft without asking the backbone, ""
        for nothing. `tools`: calls the tool that a turn asks for. `write`: what makes the tokens of a reply once the
        draft is in the KV cache (default: the backbone). `clock`: the host's by default. `handover`: shares the
        backbone with apps. `conversation_minutes`, `on_kept`, `use_persona`: see `Conversation`.
        """
        self._clock = clock or HostClock()
        self._on_state, self._on_reply, self._on_progress = on_state, on_reply, on_progress
        self._shown = ShownText(on_text)
        self._canned_reply, self._tools = canned_reply, tools
        self._handover = handover or Handover(loaded.backbone)
        self._inbox = Inbox(self._handover, voice, speaker, self._clock)
        self._announcing = Announcing(self._inbox, voice, on_announced)
        self._context = KvContext(loaded)
        n_turns, how = loaded.bundle.history_turns, {"on_kept": on_kept, "use_persona": use_persona}
        self.conversation = Conversation(self._context, self._clock, conversation_minutes, n_turns, **how)
        writer = ReplyWriter(write or write_locally(loaded.backbone), voice, self._shown.show)
        self._playback = Playback(self._inbox, self._clock, self._poll, on_state, writer)
        self._reply: Reply | None = None
        self._stage = ReplyStage.QUEUED
        self._basis: Basis | None = None  # what the reply is made from
        self._forgetting: list[threading.Event] = []  # wipes that are not done yet
        self._stopped = False

    def put(self, signal: Signal) -> None:
        """Takes a signal of the listener. Aborts the work it makes useless and silences the speaker at once."""
        self._inbox.put(signal)

    def announce(self, command: Announce) -> None:
        """Says something that no turn asked for, once nothing else is said; an interruption cuts it. Never waits."""
        self._inbox.announce(command)

    def forget(self) -> threading.Event:
        """Ends the reply and forgets the conversation. Returns what is set once the KV cache holds nothing of it."""
        return self._inbox.forget()

    def stop(self) -> None:
        """Ends `run`."""
        self._inbox.stop()

    def use_speaker(self, speaker: AudioOutput | None) -> None:
        """Replaces a speaker that was lost."""
        self._inbox.use_speaker(speaker)

    def run(self) -> None:
        """Answers until `stop`."""
        self._inbox.open()
        try:
            while not self._stopped:
                if not self._has_work:
                    self._handover.give()
                    self._take(IDLE_S)
                self._announcing.say(self._take)  # which needs no backbone
                if self._has_work:
                    self._handover.take()
                    self._work()
                elif self._tools and self._tools.has_new:  # else apps keep the backbone
                    self._learn(self._tools)
        finally:
            self._handover.close()
            self._inbox.close()

    @property
    def _has_work(self) -> bool:
        """Whether `_work` would do anything."""
        is_queued = self._reply is not None and self._stage is ReplyStage.QUEUED
        has_turns = self.conversation.has_work(self._open_draft)
        return bool(self._forgetting or is_queued or has_turns or self._handover.is_to_return)

    @property
    def _open_draft(self) -> Draft | None:
        """What is being answered."""
        return self._reply.draft if self._reply and not self._reply.outcome else None

    def _learn(self, tools: ToolTurns) -> None:
        """Uses the time in which nobody is answered; a draft that comes aborts it."""
        self._handover.take()
        with suppress(ModelError):
            tools.learn()

    def _take(self, wait_s: float = 0.0) -> None:
        """Follows the commands that came."""
        for command in self._inbox.take(wait_s):
            if isinstance(command, NewDraft):
                self._drafted(command)
            elif isinstance(command, TurnCompleted):
                self._completed(command)
            elif isinstance(command, Cut):
                self._cut(command)
            elif isinstance(command, Forget):
                self._forget(command)
            elif isinstance(command, Announce):
                self._announcing.add(command)
            elif isinstance(command, Stop):
                self._announcing.cut()
                self._stopped = True
        self._on_progress()

    def _drafted(self, command: NewDraft) -> None:
        draft, before = command.draft, self._reply
        work = Work(draft.turn.id, 1, "encode", *draft.work_ns)
        if before and command.basis is self._basis:  # the work already done is kept
            before.draft = draft
            before.work.append(replace(work, draft=before.number))
            return
        self._reply, self._basis = reply_to(draft, before, work), command.basis
        self._stage = ReplyStage.QUEUED
        self._shown.reset()

    def _completed(self, completed: TurnCompleted) -> None:
        reply = self._reply
        if reply is None or reply.draft.turn.id != completed.turn.id:
            return
        reply.ended = completed
        if reply.outcome:  # it failed while the user still spoke
            self._on_state(ReplyState(completed.decided_ns, completed.turn.id, "finished"))
        elif not is_late(reply, self._clock.now_ns()):
            self._shown.show(reply)

    def _cut(self, command: Cut) -> None:
        self._announcing.cut()
        reply, signal = self._reply, command.signal
        if reply is None or reply.outcome:
            return
        if signal.continues_turn:
            reply.outcome = Outcome.CONTINUED
            if reply.tool and self._tools:
                self._tools.undo()
        else:
            reply.outcome = Outcome.INTERRUPTED if signal.event is TurnEvent.INTERRUPTED else Outcome.TIMED_OUT
        self._reply, self._basis = None, None
        if reply.ended:
            if not signal.continues_turn:
                reply.n_tokens_played = tokens_heard([token.text for token in reply.tokens], list(command.played))
            self.conversation.end(reply)
            self._on_reply(reply)

    def _forget(self, command: Forget) -> None:
        """Ends the reply; `_work` empties the cache, once nothing decodes any more."""
        self._announcing.cut()
        reply, self._reply, self._basis = self._reply, None, None
        self.conversation.drop()
        self._forgetting.append(command.done)
        if reply and reply.ended and not reply.outcome:
            reply.outcome = Outcome.INTERRUPTED
            self._on_state(ReplyState(self._clock.now_ns(), reply.draft.turn.id, "finished"))
            self._on_reply(reply)

    def _work(self) -> None:
        """Does what is to be done for the current reply, until it is finished or something else is wanted."""
        reply = self._reply
        while self._forgetting:
            self.conversation.forget()
            self._forgetting.pop().set()
        try:
            self.conversation.settle(self._open_draft)
            if reply and self._stage is ReplyStage.QUEUED:
                self._stage = ReplyStage.WORKING
                self._answer(reply)
                self.conversation.settle(self._open_draft)
        except ModelError as error:
            if error.reason is Reason.ABORTED:
                self._take()
                self._work_again(reply)
            else:
                self.conversation.drop()
                log.error("no answer: %s", error)
                if reply and not reply.outcome:
                    self._finish(reply, Outcome.FAILED)

    def _work_again(self, reply: Reply | None) -> None:
        """An abort that no command explains: from the beginning, unless something of the reply was played."""
        if reply is None or reply is not self._reply or reply.outcome:
            return
        if reply.clauses:
            self._finish(reply, Outcome.INTERRUPTED if self._stopped else Outcome.FAILED)
        else:
            reply.tokens, reply.tool, self._stage = [], "", ReplyStage.QUEUED
            self._shown.reset()

    def _answer(self, reply: Reply) -> None:
        self._poll(reply)
        reply.canned_reply = self._canned_reply(self._tools.heard(reply.draft) if self._tools else reply.draft)
        if not reply.canned_reply:
            self._prefill(reply)
        if not reply.draft.may_be_complete:
            self._stage = ReplyStage.FED
            return
        progress = PolledTurn(reply, self._poll)
        if not reply.canned_reply and self._tools:
            reply.canned_reply = self._tools.reply_to(reply, self._context.user_rows, progress) or ""
        draft = reply.draft if reply.canned_reply else replace(reply.draft, rows=self._context.user_rows)
        self._playback.deliver(reply, draft, progress)
        self._finish(reply, Outcome.COMPLETED if reply.text or reply.tool else Outcome.EMPTY)

    def _prefill(self, reply: Reply) -> None:
        """Feeds the reply's draft, and what drafts that came meanwhile have new."""
        assert self._basis is not None
        while True:
            since_ns = time.monotonic_ns()
            reply.n_reused_rows, reply.n_past_turns = self._context.prefill(reply.draft), self.conversation.n_turns
            record_work(reply, "prefill", since_ns)
            self._inbox.fed(self._basis, self._context.user_rows)
            self._poll(reply)
            if same_rows(self._context.user_rows, reply.draft.rows) == len(reply.draft.rows):
                return

    def _poll(self, reply: Reply, wait_s: float = 0.0) -> None:
        """Takes commands. Raises ModelError(ABORTED) where nobody waits for `reply` any more."""
        self._take(wait_s)
        if is_late(reply, self._clock.now_ns()) and not reply.outcome:
            self._finish(reply, Outcome.TIMED_OUT)
        if self._stopped or self._reply is not reply or reply.outcome:
            raise ModelError(Reason.ABORTED, "nobody waits for this answer any more")

    def _finish(self, reply: Reply, outcome: Outcome) -> None:
        reply.outcome, self._stage = outcome, ReplyStage.FINISHED
        self._handover.release()
        if outcome is Outcome.COMPLETED:
            self.conversation.end(reply)
        self._on_state(ReplyState(self._clock.now_ns(), reply.draft.turn.id, "finished"))
        self._on_reply(reply)

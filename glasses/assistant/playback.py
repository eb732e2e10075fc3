"""The responder's part at the speaker: a reply is written and said, clause by clause.

Each clause is queued, the first is heard to begin, and the last is played to the end.
"""

from __future__ import annotations

from collections.abc import Callable

from glasses.assistant.clock import Clock
from glasses.assistant.inbox import Inbox
from glasses.assistant.reply import TurnProgress
from glasses.assistant.reply_writer import ReplyWriter
from glasses.events import Clause, Draft, Reply, ReplyState
from glasses.types import NS_PER_MS, Float32Array

_AUDIBLE_MS = 200  # within which a clause that was queued at the speaker begins to sound
_NO_SPEAKER_S = 0.02  # between two looks for a speaker that was lost


class Playback:
    """Belongs to the responder's thread. Every wait ends where `poll` raises ModelError(ABORTED)."""

    def __init__(
        self,
        inbox: Inbox,
        clock: Clock,
        poll: Callable[[Reply, float], None],
        on_state: Callable[[ReplyState], None],
        writer: ReplyWriter,
    ) -> None:
        """`poll` takes the responder's commands, and waits for them for so many seconds."""
        self._writer = writer
        self._inbox, self._clock, self._poll, self._on_state = inbox, clock, poll, on_state

    def deliver(self, reply: Reply, draft: Draft, progress: TurnProgress) -> None:
        """Writes the reply to `draft` and, with a voice and a speaker, says it. Nothing is heard before the turn is
        completed. Raises as `ReplyWriter.spoken`.
        """
        if not self._writer.has_voice or self._inbox.speaker is None:
            progress.wait_completed()
            for _ in self._writer.tokens(reply, draft, progress):
                pass
            return
        for text, pcm in self._writer.spoken(reply, draft, progress):
            progress.wait_completed()
            self._play(reply, text, pcm)
        progress.wait_completed()
        self._wait_played(reply)

    def _play(self, reply: Reply, text: str, pcm: Float32Array) -> None:
        """Queues a clause at the speaker, as soon as there is one; of the first it waits until it is audible."""
        while (clause := self._inbox.play(reply.draft.turn.id, text, pcm)) is None:
            self._poll(reply, _NO_SPEAKER_S if self._inbox.speaker is None else 0.0)
        reply.clauses.append(text)
        if len(reply.clauses) == 1:
            self._wait_audible(reply, clause)

    def _wait_audible(self, reply: Reply, clause: Clause) -> None:
        """Notes when the first sample leaves the device."""
        limit_ns = self._clock.now_ns() + _AUDIBLE_MS * NS_PER_MS
        while clause.first_ns is None and self._clock.now_ns() < limit_ns:
            self._poll(reply, 0.002)
        reply.audible_ns = clause.first_ns or self._clock.now_ns()
        self._on_state(ReplyState(reply.audible_ns, reply.draft.turn.id, "audible"))

    def _wait_played(self, reply: Reply) -> None:
        """Until the last sample was played; a speaker that is gone ends it too."""
        while (speaker := self._inbox.speaker) and speaker.is_speaking and not speaker.gone:
            self._poll(reply, 0.02)

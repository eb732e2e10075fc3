"""Records what the listener is given, what it decides and what is answered, in that order."""

from __future__ import annotations

from glasses.assistant.observers import Handlers
from glasses.assistant.reply import reply_fields
from glasses.events import Announced, Reply, ReplyState, TurnCompleted, TurnSignal
from glasses.recording.entries import Answered, decision_of
from glasses.recording.recorder import Recorder
from glasses.types import AudioChunk, Button, DeviceChange, Frame, Latents, OwnVoice, Wiped


class RecordingObserver:
    """Puts the pipeline's events into a recorder."""

    name = "recorder"

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @property
    def handlers(self) -> Handlers:
        """What a replay needs."""
        as_they_are = (AudioChunk, Frame, Button, OwnVoice, ReplyState, TurnSignal, Announced, DeviceChange, Wiped)
        return {
            **dict.fromkeys(as_they_are, self._recorder.put),
            TurnCompleted: self._on_turn_completed,
            Reply: self._on_reply,
        }

    def _on_turn_completed(self, completed: TurnCompleted) -> None:
        for part in completed.turn.inputs:
            if isinstance(part, Latents):
                self._recorder.put(part)
        self._recorder.put(decision_of(completed))

    def _on_reply(self, reply: Reply) -> None:
        if reply.ended is None or reply.outcome is None:
            return
        fields = reply_fields(reply)
        self._recorder.put(
            Answered(
                reply.ended.span.decided_ns,
                reply.draft.turn.id,
                reply.text,
                {"silence": fields["decided_ms"], **fields["work_after_ms"]},
                reply.outcome,
                reply.n_tokens_played,
            )
        )

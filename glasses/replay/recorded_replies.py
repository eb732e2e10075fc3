"""What a recording says of its replies, told in terms of the turns of its replay."""

from __future__ import annotations

from dataclasses import replace

from glasses.events import Outcome, ReplyState, TurnCompleted
from glasses.recording.entries import Answered
from glasses.types import NS_PER_S

_NO_REPLY_NS = NS_PER_S  # a turn that the recording does not have by then had no reply there


class RecordedReplies:
    """A replay completes turns a little before or after its recording does: what comes too early is kept until then."""

    def __init__(self) -> None:
        self._turns: dict[int, int] = {}  # turn id of the recording -> turn id of the replay
        self._early: list[ReplyState] = []  # of turns that the replay has not completed yet
        self._unclaimed: TurnCompleted | None = None  # completed in the replay, not in the recording so far
        self._played: dict[int, int] = {}  # turn id of the replay -> tokens heard of its reply, which was interrupted

    def decided(self, recorded_id: int, turn_id: int) -> None:
        """The recording decided on a turn while the replay has `turn_id`."""
        self._turns[recorded_id] = turn_id
        if self._unclaimed and self._unclaimed.turn.id == turn_id:
            self._unclaimed = None

    def state(self, recorded: ReplyState, turn_id: int, *, is_completed: bool) -> ReplyState | None:
        """The recorded state of a reply for the listener, whose turn is `turn_id`; None where that is for later."""
        state = replace(recorded, turn_id=self._turns.get(recorded.turn_id, -1))
        if state.turn_id == turn_id and not is_completed:
            self._early.append(state)
            return None
        return state

    def answered(self, answer: Answered) -> None:
        """What became of a reply."""
        if answer.outcome is Outcome.INTERRUPTED:
            self._played[self._turns.get(answer.turn_id, -1)] = answer.n_tokens_played

    def take_played(self, turn_id: int) -> int | None:
        """How many tokens of the interrupted reply to the replay's turn were heard; None while that is not known."""
        return self._played.pop(turn_id, None)

    def completed(self, completed: TurnCompleted) -> list[ReplyState]:
        """The replay completed a turn: the states of its reply that came before, oldest first."""
        self._unclaimed = completed
        states = [state for state in self._early if state.turn_id == completed.turn.id]
        self._early = [state for state in self._early if state.turn_id > completed.turn.id]
        return states

    def without_reply(self, t_ns: int) -> ReplyState | None:
        """The end of a reply that the recording does not have, once that is certain at `t_ns`."""
        if self._unclaimed is None or t_ns < self._unclaimed.span.decided_ns + _NO_REPLY_NS:
            return None
        completed, self._unclaimed = self._unclaimed, None
        return ReplyState(completed.span.decided_ns + _NO_REPLY_NS, completed.turn.id, "finished")

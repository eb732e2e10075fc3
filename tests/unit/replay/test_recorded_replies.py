"""States of recorded replies, where the replay completes turns a little later than its recording."""

from __future__ import annotations

from glasses.events import Outcome, ReplyState, TurnCompleted, TurnSpan
from glasses.recording.entries import Answered
from glasses.replay.recorded_replies import RecordedReplies
from glasses.types import NS_PER_S, Turn


def completed(turn_id: int, decided_ns: int = 0) -> TurnCompleted:
    return TurnCompleted(Turn(turn_id, 0, "tap", ()), TurnSpan(0, False, None, decided_ns), None, decided_ns)


def test_recorded_state_of_a_turn_still_open_comes_once_it_is_completed() -> None:
    replies = RecordedReplies()
    replies.decided(7, 1)
    assert replies.state(ReplyState(5, 7, "audible"), 1, is_completed=False) is None
    assert replies.completed(completed(1)) == [ReplyState(5, 1, "audible")]
    assert replies.completed(completed(1)) == []
    assert replies.state(ReplyState(9, 7, "finished"), 1, is_completed=True) == ReplyState(9, 1, "finished")


def test_recorded_state_of_another_turn_is_kept_when_a_turn_is_completed() -> None:
    """The recording was a whole turn ahead: the states of the second come when that is completed."""
    replies = RecordedReplies()
    replies.decided(7, 1)
    replies.decided(8, 2)
    assert replies.state(ReplyState(5, 7, "audible"), 1, is_completed=False) is None
    assert replies.state(ReplyState(6, 8, "audible"), 2, is_completed=False) is None
    assert replies.completed(completed(1)) == [ReplyState(5, 1, "audible")]
    assert replies.completed(completed(2)) == [ReplyState(6, 2, "audible")]


def test_recorded_replies_turn_not_in_the_recording_ends_after_a_second() -> None:
    replies = RecordedReplies()
    replies.completed(completed(1, decided_ns=10))
    assert replies.without_reply(NS_PER_S) is None
    assert replies.without_reply(NS_PER_S + 10) == ReplyState(NS_PER_S + 10, 1, "finished")
    assert replies.without_reply(NS_PER_S + 11) is None
    replies.completed(completed(2, decided_ns=10))
    replies.decided(7, 2)
    assert replies.without_reply(5 * NS_PER_S) is None


def test_recorded_interruption_is_told_once_and_in_the_turns_of_the_replay() -> None:
    replies = RecordedReplies()
    replies.decided(7, 1)
    assert replies.take_played(1) is None
    replies.answered(Answered(5, 7, "Yes, it is.", {}, Outcome.INTERRUPTED, 2))
    assert replies.take_played(7) is None
    assert replies.take_played(1) == 2
    assert replies.take_played(1) is None

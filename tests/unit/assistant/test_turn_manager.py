"""The turn manager on made-up speech probabilities: when a turn starts, ends, pauses and is interrupted; its caps."""

from __future__ import annotations

from glasses.assistant import turn_manager
from glasses.assistant.turn_manager import TurnChange, TurnManager
from glasses.audio.vad import STEP_NS
from glasses.events import TurnEvent
from glasses.types import NS_PER_MS


class Voice:
    """Feeds a turn manager with stretches of speech and silence, 32 ms a step, and keeps the changes."""

    def __init__(self, gate: TurnManager) -> None:
        self.gate, self.now_ns, self.changes = gate, 10**12, list[TurnChange]()

    def speaks(self, ms: float, probability: float = 0.95) -> list[TurnChange]:
        new: list[TurnChange] = []
        for _ in range(round(ms * NS_PER_MS / STEP_NS)):
            new += self.gate.step(self.now_ns, self.now_ns + STEP_NS, probability)
            self.now_ns += STEP_NS
        self.changes += new
        return new

    def silent(self, ms: float) -> list[TurnChange]:
        return self.speaks(ms, 0.02)


def kinds(changes: list[TurnChange]) -> list[str]:
    return [change.event for change in changes]


def test_turn_manager_touch_opens_a_turn_that_silence_ends() -> None:
    """No head judges whether the sentence is complete."""
    voice = Voice(TurnManager())
    assert voice.speaks(1000) == []  # not addressed
    opened = voice.gate.touch(voice.now_ns, wants_image=False)
    assert opened is not None
    assert opened.event == TurnEvent.TURN_STARTED
    voice.speaks(1500)
    end_ns = voice.now_ns
    changes = voice.silent(1000)
    assert kinds(changes) == [TurnEvent.SILENCE_STARTED, TurnEvent.TURN_COMPLETED]
    span = changes[1].span
    assert span is not None
    assert span.end_ns == end_ns
    assert span.decided_ns - end_ns >= turn_manager.END_SILENCE_MS * NS_PER_MS


def test_turn_manager_surely_complete_sentence_ends_sooner() -> None:
    waits = []
    for complete in (0.99, 0.9, 0.6, 0.3, 0.0):
        voice = Voice(TurnManager())
        voice.gate.touch(voice.now_ns, wants_image=False)
        voice.speaks(1500)
        end_ns = voice.now_ns
        while not any(change.event == TurnEvent.TURN_COMPLETED for change in voice.changes):
            if kinds(voice.silent(32)) == [TurnEvent.SILENCE_STARTED]:
                voice.gate.set_completeness(complete)
        waits.append(voice.now_ns - end_ns)
    assert waits == sorted(waits)
    assert waits[0] == waits[1] < 200 * NS_PER_MS
    assert len(set(waits)) == 4
    assert waits[-1] >= turn_manager.END_SILENCE_MS * NS_PER_MS


def test_turn_manager_pause_within_sentence_resumes_the_same_turn() -> None:
    voice = Voice(TurnManager())
    voice.gate.touch(voice.now_ns, wants_image=False)
    voice.speaks(800)
    assert kinds(voice.silent(200)) == [TurnEvent.SILENCE_STARTED]
    voice.gate.set_completeness(0.1)
    assert kinds(voice.speaks(800)) == [TurnEvent.SPEECH_RESUMED]
    assert kinds(voice.silent(1000)) == [TurnEvent.SILENCE_STARTED, TurnEvent.TURN_COMPLETED]


def test_turn_manager_touch_without_speech_is_a_turn_of_its_own() -> None:
    """A second touch adds the picture to it."""
    voice = Voice(TurnManager())
    touched_ns = voice.now_ns
    voice.gate.touch(touched_ns, wants_image=False)
    voice.silent(500)
    assert voice.gate.touch(voice.now_ns, wants_image=True) is None
    (ended,) = voice.silent(turn_manager.NO_SPEECH_MS)
    assert ended.span is not None
    assert (ended.span.activated_ns, ended.span.wants_image, ended.span.spoken_ns) == (touched_ns, True, None)
    assert 0 <= ended.t_ns - touched_ns - turn_manager.NO_SPEECH_MS * NS_PER_MS < STEP_NS


def test_turn_manager_step_that_began_before_the_touch_does_not_count() -> None:
    voice = Voice(TurnManager())
    voice.gate.touch(voice.now_ns + 10 * NS_PER_MS, wants_image=False)
    voice.speaks(32)
    (ended,) = voice.silent(turn_manager.NO_SPEECH_MS + 64)
    assert ended.span is not None
    assert ended.span.spoken_ns is None


def test_turn_manager_speech_opens_a_turn_where_allowed_and_a_click_not() -> None:
    voice = Voice(TurnManager(on_speech=True))
    assert voice.speaks(64) == []
    voice.silent(300)
    onset_ns = voice.now_ns
    opened = voice.speaks(400)
    assert kinds(opened) == [TurnEvent.TURN_STARTED]
    assert opened[0].t_ns == onset_ns


def replying() -> Voice:
    voice = Voice(TurnManager())
    voice.gate.touch(voice.now_ns, wants_image=False)
    voice.speaks(1000)
    voice.silent(700)
    assert voice.gate.state == "replying"
    return voice


def test_turn_manager_voice_over_the_reply_pauses_then_interrupts() -> None:
    voice = replying()
    voice.gate.reply_audible(voice.now_ns)
    voice.silent(2000)
    onset_ns = voice.now_ns
    changes = voice.speaks(400)
    assert kinds(changes) == [TurnEvent.BARGE_IN_PENDING, TurnEvent.INTERRUPTED]
    assert changes[0].t_ns - onset_ns <= 32 * NS_PER_MS
    assert not changes[1].continues_turn
    assert voice.gate.activated_ns == onset_ns
    assert kinds(voice.silent(800)) == [TurnEvent.SILENCE_STARTED, TurnEvent.TURN_COMPLETED]


def test_turn_manager_cough_over_the_reply_only_pauses_it() -> None:
    voice = replying()
    voice.gate.reply_audible(voice.now_ns)
    voice.silent(2000)
    assert kinds(voice.speaks(96)) == [TurnEvent.BARGE_IN_PENDING]
    assert kinds(voice.silent(600)) == [TurnEvent.BARGE_IN_REJECTED]
    assert voice.gate.state == "replying"


def test_turn_manager_click_over_the_reply_pauses_it_briefly() -> None:
    voice = replying()
    voice.gate.reply_audible(voice.now_ns)
    voice.silent(2000)
    assert kinds(voice.speaks(32)) == [TurnEvent.BARGE_IN_PENDING]
    assert kinds(voice.silent(64)) == [TurnEvent.BARGE_IN_REJECTED]
    assert kinds(voice.speaks(400)) == [TurnEvent.BARGE_IN_PENDING, TurnEvent.INTERRUPTED]


def test_turn_manager_speech_before_the_reply_continues_the_turn() -> None:
    voice = replying()
    touched_ns = voice.gate.activated_ns
    changes = voice.speaks(400)
    assert changes[-1].event == TurnEvent.INTERRUPTED
    assert changes[-1].continues_turn
    assert voice.gate.activated_ns == touched_ns
    ended = voice.silent(800)[-1]
    assert ended.span is not None
    assert ended.span.activated_ns == touched_ns


def test_turn_manager_speech_soon_after_a_reply_opens_a_turn() -> None:
    voice = replying()
    voice.gate.reply_finished(voice.now_ns)
    voice.silent(2000)
    assert kinds(voice.speaks(400)) == [TurnEvent.TURN_STARTED]
    voice.silent(800)
    voice.gate.reply_finished(voice.now_ns)
    voice.silent(turn_manager.FOLLOW_UP_MS + 100)
    assert voice.speaks(400) == []


def test_turn_manager_unbroken_speech_reaches_a_cap_in_every_state() -> None:
    voice = Voice(TurnManager(on_speech=True))
    minutes = 80
    for _ in range(minutes):
        voice.speaks(60_000)
    ended = [change for change in voice.changes if change.event == TurnEvent.TURN_COMPLETED]
    assert len(ended) >= minutes * 60_000 / (turn_manager.LONGEST_MS + turn_manager.REPLY_MS) - 1
    spans = [change.span for change in ended if change.span]
    assert max(span.decided_ns - span.activated_ns for span in spans) <= (turn_manager.LONGEST_MS + 64) * NS_PER_MS
    assert len(voice.gate._over_reply_ns) < 50


def test_turn_manager_without_sound_each_state_times_out() -> None:
    voice = Voice(TurnManager())
    voice.gate.touch(voice.now_ns, wants_image=False)
    assert voice.gate.tick(voice.now_ns + 1000 * NS_PER_MS) == []
    assert kinds(voice.gate.tick(voice.now_ns + 60_000 * NS_PER_MS)) == [TurnEvent.TIMED_OUT]
    assert voice.gate.state == "idle"
    voice = replying()
    assert kinds(voice.gate.tick(voice.now_ns + 120_000 * NS_PER_MS)) == [TurnEvent.TIMED_OUT]
    assert voice.gate.state == "idle"


def test_turn_manager_touch_ends_a_reply() -> None:
    voice = replying()
    change = voice.gate.touch(voice.now_ns, wants_image=True)
    assert change is not None
    assert change.event == TurnEvent.INTERRUPTED
    assert voice.gate.is_open
    assert voice.gate.wants_image


def test_turn_manager_end_of_the_wake_phrase_is_no_question() -> None:
    voice = Voice(TurnManager())
    voice.speaks(900)
    voice.gate.wake(voice.now_ns)
    voice.speaks(96)  # its last sound
    voice.silent(1500)
    assert voice.changes == []  # still waiting for what comes
    voice.speaks(1200)
    end_ns = voice.now_ns
    changes = voice.silent(1000)
    assert kinds(changes) == [TurnEvent.SILENCE_STARTED, TurnEvent.TURN_COMPLETED]
    span = changes[1].span
    assert span is not None
    assert span.spoken_ns is not None
    assert span.spoken_ns[1] == end_ns
    assert end_ns - span.spoken_ns[0] <= 1250 * NS_PER_MS


def test_turn_manager_wake_without_speech_ends_as_a_touch_does() -> None:
    voice = Voice(TurnManager())
    voice.gate.wake(voice.now_ns)
    changes = voice.silent(4000)
    assert kinds(changes) == [TurnEvent.TURN_COMPLETED]
    assert changes[0].span is not None
    assert changes[0].span.spoken_ns is None


def follow_up(voice: Voice) -> None:
    """A reply is over, somebody speaks soon after it, and that is answered."""
    voice.gate.reply_finished(voice.now_ns)
    voice.silent(500)
    assert kinds(voice.speaks(400)) == [TurnEvent.TURN_STARTED]
    assert voice.gate.is_follow_up
    voice.silent(800)


def test_turn_manager_chain_of_follow_ups_is_bounded_until_a_touch() -> None:
    voice = replying()
    voice.gate.most_follow_ups = 2
    follow_up(voice)
    follow_up(voice)
    voice.gate.reply_finished(voice.now_ns)
    voice.silent(500)
    assert voice.speaks(400) == []
    voice.gate.touch(voice.now_ns, wants_image=False)
    voice.speaks(400)
    voice.silent(800)
    follow_up(voice)


def test_turn_manager_dismissed_follow_up_invites_none_and_its_rest_is_no_turn() -> None:
    voice = replying()
    voice.gate.reply_finished(voice.now_ns)
    voice.speaks(400)
    voice.gate.dismiss(voice.now_ns)
    assert voice.gate.state == "idle"
    assert voice.gate.n_follow_ups == 0
    voice.silent(turn_manager.FOLLOW_UP_MS)
    assert voice.speaks(1000) == []


def test_turn_manager_dropped_turn_ends_the_conversation() -> None:
    voice = replying()
    voice.gate.reply_finished(voice.now_ns)
    voice.gate.drop(voice.now_ns)
    assert voice.speaks(400) == []


def test_turn_manager_announcement_is_interrupted_as_a_reply_is() -> None:
    voice = Voice(TurnManager())
    voice.gate.announced(voice.now_ns, begun=True)
    assert voice.gate.is_replying
    assert kinds(voice.speaks(400)) == [TurnEvent.BARGE_IN_PENDING, TurnEvent.INTERRUPTED]
    assert voice.gate.is_open
    voice.gate.announced(voice.now_ns, begun=False)
    assert voice.gate.is_open


def test_turn_manager_announcement_that_is_over_leaves_it_idle() -> None:
    voice = Voice(TurnManager())
    voice.gate.announced(voice.now_ns, begun=True)
    voice.silent(500)
    voice.gate.announced(voice.now_ns, begun=False)
    assert voice.gate.state == "idle"


def test_turn_manager_announcement_is_never_begun_in_a_turn_nor_ends_a_reply() -> None:
    voice = replying()
    voice.gate.announced(voice.now_ns, begun=True)
    voice.gate.announced(voice.now_ns, begun=False)
    assert voice.gate.is_replying

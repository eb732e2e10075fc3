"""Speakers in the time of a recorded stream."""

from __future__ import annotations

import numpy as np

from glasses.replay.virtual_devices import RecordedSpeaker, StreamClock, VirtualSpeaker
from glasses.types import NS_PER_MS

RATE_HZ = 1000  # a sample is a millisecond


def sound(ms: int) -> np.ndarray:
    return np.full(ms, 0.1, np.float32)


def test_virtual_speaker_plays_by_the_clock_and_tells_when_it_ends() -> None:
    clock = StreamClock(lambda: None)
    speaker = VirtualSpeaker(RATE_HZ, clock)
    clock.advance(5 * NS_PER_MS)
    first, second = (speaker.play(1, text, sound(100)) for text in ("one,", "two."))
    assert first.first_ns == 5 * NS_PER_MS
    assert speaker.end_ns == 205 * NS_PER_MS
    speaker.advance(155 * NS_PER_MS)
    assert (first.n_samples_played, second.n_samples_played) == (100, 50)
    speaker.advance(205 * NS_PER_MS)
    assert (speaker.is_speaking, speaker.end_ns) == (False, None)
    assert len(speaker.take_sounds()) == 200


def test_virtual_speaker_paused_plays_nothing_until_it_goes_on() -> None:
    clock = StreamClock(lambda: None)
    speaker = VirtualSpeaker(RATE_HZ, clock)
    clause = speaker.play(1, "one.", sound(100))
    speaker.pause()
    speaker.advance(60 * NS_PER_MS)
    assert (clause.n_samples_played, speaker.end_ns) == (0, None)
    speaker.unpause()
    assert speaker.end_ns == 160 * NS_PER_MS
    speaker.advance(100 * NS_PER_MS)
    assert [one.n_samples_played for one in speaker.silence()] == [40]


def test_virtual_speaker_clause_without_sound_is_over_at_once() -> None:
    clock = StreamClock(lambda: None)
    clock.advance(7)
    speaker = VirtualSpeaker(RATE_HZ, clock)
    assert speaker.play(1, "shown.", sound(0)).first_ns == 7
    assert not speaker.is_speaking


def test_recorded_speaker_speaks_until_it_is_told_and_heard_what_it_is_told() -> None:
    speaker = RecordedSpeaker(RATE_HZ, StreamClock(lambda: None))
    for turn_id in (1, 1):  # a turn that was continued is answered twice
        speaker.play(turn_id, "one two.", sound(100))
        speaker.advance(900 * NS_PER_MS)
        assert speaker.is_speaking
        speaker.heard = "one"
        assert [(one.text, one.share) for one in speaker.silence()] == [("one", 1.0)]
        assert not speaker.is_speaking
    assert speaker.silence() == []

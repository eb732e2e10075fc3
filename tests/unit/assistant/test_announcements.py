"""When an announcement is begun, what counts as told, and how long an alarm rings."""

from __future__ import annotations

import time

from glasses.assistant.announcements import PATIENCE_S, QUIET_S, RINGS, Announcement, Announcements
from glasses.types import NS_PER_S

QUIET_NS, PATIENCE_NS = round(QUIET_S * NS_PER_S), round(PATIENCE_S * NS_PER_S)


def announcements() -> Announcements:
    return Announcements(ring_pause_s=0, again_s=0)


def timer(told: list[str], *, rings: bool = False) -> Announcement:
    return Announcement("timer", lambda: "It is up.", rings=rings, on_told=lambda: told.append("told"))


def begin(waiting: Announcements) -> bool:
    now_ns = time.monotonic_ns()
    return waiting.begin(now_ns, now_ns - QUIET_NS, now_ns - QUIET_NS) is not None


def test_begin_waits_for_quiet_after_speech_and_after_a_reply() -> None:
    waiting = announcements()
    waiting.say("done")
    now_ns = time.monotonic_ns()
    assert waiting.begin(now_ns, now_ns, now_ns - QUIET_NS) is None
    assert waiting.begin(now_ns, now_ns - QUIET_NS, now_ns) is None
    begun = waiting.begin(now_ns, now_ns - QUIET_NS, now_ns - QUIET_NS)
    assert begun
    assert (begun[0].text, begun[0].state, begun[0].number) == ("done", "begun", 1)


def test_begin_goes_first_where_somebody_never_stops_talking() -> None:
    waiting = announcements()
    waiting.say("done")
    late_ns = time.monotonic_ns() + PATIENCE_NS
    assert waiting.begin(late_ns, late_ns, late_ns) is None, "a turn or reply is never talked into"
    assert waiting.begin(late_ns, late_ns, late_ns - QUIET_NS)


def test_begin_of_a_second_one_waits_for_the_end_of_the_first() -> None:
    waiting = announcements()
    waiting.say("one")
    waiting.say("two")
    assert begin(waiting)
    assert not begin(waiting)
    waiting.end(1.0)
    assert begin(waiting)


def test_begin_of_what_is_not_wanted_any_more_says_nothing() -> None:
    waiting = announcements()
    waiting.add(Announcement("timer", lambda: "up", is_wanted=lambda: False))
    assert not begin(waiting)
    assert not begin(waiting)


def test_end_after_most_of_it_is_told_and_said_no_more() -> None:
    waiting, told = announcements(), list[str]()
    waiting.add(timer(told))
    assert begin(waiting)
    ended = waiting.end(0.6)
    assert ended
    assert (ended.state, told) == ("told", ["told"])
    assert not begin(waiting)


def test_end_after_little_of_it_is_said_once_more_and_no_more() -> None:
    waiting, told = announcements(), list[str]()
    waiting.add(timer(told))
    assert begin(waiting)
    first = waiting.end(0.2)
    assert begin(waiting)
    second = waiting.end(0.2)
    assert first
    assert second
    assert (first.state, second.state, told) == ("interrupted", "told", ["told"])
    assert not begin(waiting)


def test_end_of_what_rings_comes_again_until_it_was_said_often_enough() -> None:
    waiting, told, states = announcements(), list[str](), list[str]()
    waiting.add(timer(told, rings=True))
    while begin(waiting):
        ended = waiting.end(1.0)
        assert ended
        states.append(ended.state)
    assert states == ["told"] * (RINGS - 1) + ["missed"]
    assert told == ["told"]


def test_answer_ends_what_rings_between_and_while_it_is_said() -> None:
    for share in (1.0, 0.1):
        waiting, told = announcements(), list[str]()
        waiting.add(timer(told, rings=True))
        assert begin(waiting)
        assert waiting.is_active
        waiting.answer()
        ended = waiting.end(share)
        assert ended
        assert (ended.state, told) == ("answered", ["told"])
        assert not begin(waiting)
    waiting, told = announcements(), list[str]()
    waiting.add(timer(told, rings=True))
    assert begin(waiting)
    waiting.end(1.0)
    assert waiting.is_active
    assert [one.state for one in waiting.answer()] == ["answered"]
    assert not waiting.is_active
    assert not begin(waiting)


def test_add_beyond_what_may_wait_is_refused() -> None:
    waiting = announcements()
    assert all(waiting.add(timer([])) for _ in range(100))
    assert not waiting.add(timer([]))


def test_end_of_what_nobody_heard_at_all_is_tried_several_times() -> None:
    waiting, told, states = announcements(), list[str](), list[str]()
    waiting.add(timer(told))
    while begin(waiting):
        ended = waiting.end(0.0)
        assert ended
        states.append(ended.state)
    assert states == ["interrupted"] * 5 + ["told"]
    assert told == ["told"]


def test_forget_leaves_what_fell_due() -> None:
    waiting = announcements()
    waiting.say("your secret")
    waiting.add(Announcement("reminder", lambda: "call Tom", is_wanted=lambda: True))
    waiting.forget()
    now_ns = time.monotonic_ns()
    begun = waiting.begin(now_ns, now_ns - QUIET_NS, now_ns - QUIET_NS)
    assert begun
    assert begun[0].text == "call Tom"

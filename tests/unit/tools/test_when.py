"""Durations and points in time in a speaker's words."""

from __future__ import annotations

from datetime import datetime

import pytest

from glasses.errors import InputError
from glasses.tools.duration import seconds_of
from glasses.tools.when import next_after, read_when

NOW = datetime(2026, 3, 4, 10, 30)  # a Wednesday
GUESSED = ("-5 minutes", "1e9 minutes", "not five minutes", "five minutes or ten minutes")  # what parts of them are not


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("six minutes", 360),
        ("an hour and a half", 5400),
        ("a hundred seconds", 100),
        ("half an hour", 1800),
        ("half a minute", 30),
        ("a quarter of an hour", 900),
        ("three quarters of an hour", 2700),
        ("two minutes and fifteen seconds", 135),
        ("four and a half minutes", 270),
        ("55 min", 3300),
        ("1h20m", 4800),
        ("thirty-five minutes", 2100),
        ("two days", 172_800),
        ("a couple of minutes", 120),
        ("a fortnight", 1_209_600),
        ("for about ten minutes, please", 600),
    ],
)
def test_seconds_of_words_are_exact(words: str, seconds: float) -> None:
    assert seconds_of(words) == seconds


@pytest.mark.parametrize("words", ["", "soon", "five", "zero minutes", "two thousand weeks", *GUESSED])
def test_seconds_of_no_duration_is_refused(words: str) -> None:
    with pytest.raises(InputError):
        seconds_of(words)


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("in fifteen minutes", "2026-03-04T10:45"),
        ("in an hour and a quarter", "2026-03-04T11:45"),
        ("twenty minutes from now", "2026-03-04T10:50"),
        ("tomorrow at eight", "2026-03-05T08:00"),
        ("at nine in the evening", "2026-03-04T21:00"),
        ("half past four tomorrow", "2026-03-05T16:30"),
        ("a quarter to twelve", "2026-03-04T11:45"),
        ("quarter to one", "2026-03-04T12:45"),
        ("twenty past three", "2026-03-04T15:20"),
        ("next Wednesday at two", "2026-03-11T14:00"),
        ("on Wednesday at noon", "2026-03-04T12:00"),
        ("every Tuesday at five pm", "2026-03-10T17:00"),
        ("on the 21st of May at 9 in the morning", "2026-05-21T09:00"),
        ("in three days at four in the afternoon", "2026-03-07T16:00"),
        ("tonight at eight", "2026-03-04T20:00"),
        ("tomorrow evening", "2026-03-05T20:00"),
        ("midnight", "2026-03-05T00:00"),
        ("ten", "2026-03-04T22:00"),
        ("18:05", "2026-03-04T18:05"),
        ("7:30 a.m.", "2026-03-05T07:30"),
        ("the day after tomorrow at noon", "2026-03-06T12:00"),
        ("7pm", "2026-03-04T19:00"),
        ("12am", "2026-03-05T00:00"),
        ("tomorrow 7:15pm", "2026-03-05T19:15"),
        ("seven tonight", "2026-03-04T19:00"),
        ("December 25 at 8am", "2026-12-25T08:00"),
        ("2026-12-24 18:00", "2026-12-24T18:00"),
        ("Friday afternoon", "2026-03-06T15:00"),
        ("Wednesday at eight am", "2026-03-11T08:00"),
        ("Wednesday at eleven", "2026-03-04T11:00"),
        ("tomorrow at seven", "2026-03-05T07:00"),
        ("7 tomorrow", "2026-03-05T07:00"),
        ("7 am every day", "2026-03-05T07:00"),
        ("weekdays at 6 am", "2026-03-05T06:00"),
        ("the 2nd at noon", "2026-04-02T12:00"),
        ("in a month at noon", "2026-04-04T12:00"),
    ],
)
def test_read_when_of_words_is_the_next_such_time(words: str, at: str) -> None:
    assert read_when(words, NOW).at == datetime.fromisoformat(at)


def test_read_when_prefers_morning_for_an_alarm() -> None:
    assert read_when("six", NOW, prefers_morning=True).at == datetime(2026, 3, 5, 6)


@pytest.mark.parametrize(
    "words",
    [
        "", "soon", "at thirty", "tomorrow at nine with a hat", "purple Monday at ten", "at 3 and at 5",
        "24.12. at 18:00", "today at eight am", "every Saturday and Sunday at nine", "January 3 2020 at noon",
    ],
)  # fmt: skip
def test_read_when_of_words_it_does_not_know_is_refused(words: str) -> None:
    with pytest.raises(InputError):
        read_when(words, NOW)


@pytest.mark.parametrize(
    ("words", "repeat"),
    [("every day at six pm", "daily"), ("every weekday at seven am", "weekdays"), ("on Sundays at ten", "weekly")],
)
def test_read_when_repeated_says_how(words: str, repeat: str) -> None:
    assert read_when(words, NOW).repeat == repeat


def test_read_when_of_a_day_alone_has_no_clock() -> None:
    read = read_when("on Friday", NOW)
    assert (read.at, read.has_clock) == (datetime(2026, 3, 6), False)


def test_next_after_weekdays_skips_the_weekend() -> None:
    friday = datetime(2026, 3, 6, 7)
    assert next_after(friday, "weekdays", friday) == datetime(2026, 3, 9, 7)

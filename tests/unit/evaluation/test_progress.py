"""Progress in stages: which of how many, and what is left in all."""

from __future__ import annotations

import pytest

from glasses.commands import wake_word
from glasses.evaluation.progress import staged_progress, time_left
from glasses.wake_word_training import train
from glasses.wake_word_training.examples import LEARNING, OTHER_SOUNDS, SAYING


def test_staged_progress_line_says_which_stage_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with staged_progress({"first": 1, "second": 3}, first_line_s=0) as tick:
        tick("second", 5, 10)
    assert capsys.readouterr().err == "2 of 2, second: 5 of 10; about 0 s left in all\n"


def test_time_left_is_minutes_when_long() -> None:
    assert [time_left(seconds) for seconds in (0.2, 89, 90, 1000)] == [
        "about 0 s left",
        "about 89 s left",
        "about 2 min left",
        "about 17 min left",
    ]


def test_wake_word_stages_are_all_that_training_ticks() -> None:
    stages = wake_word._stages(160, 0.1, others=True)
    spoken = {SAYING, wake_word.NEAR, wake_word.EVERYDAY, wake_word.BABBLE, OTHER_SOUNDS, LEARNING}
    tested = {train.TESTING_PHRASE, train.TESTING_TALK, train.TESTING_SOUNDS}
    assert stages.keys() == spoken | set(wake_word.MISTAKES) | tested
    assert OTHER_SOUNDS not in wake_word._stages(160, 0.1, others=False)

"""What the governor sheds and when, and that it does not oscillate."""

from __future__ import annotations

import itertools

import pytest

from glasses.system.board import load_board
from glasses.system.governor import SHED_ORDER, Governed, Limits, Reading, step
from glasses.types import NS_PER_S

LIMITS = Limits()


def run(readings: list[Reading]) -> list[Governed]:
    return list(itertools.accumulate(readings, lambda before, one: step(before, one, LIMITS), initial=Governed()))[1:]


@pytest.mark.parametrize(
    ("reading", "level"),
    [
        (Reading(0), 0),
        (Reading(0, heat_c=69.9), 0),
        (Reading(0, heat_c=70.0), 1),
        (Reading(0, heat_c=76.0), 2),
        (Reading(0, heat_c=95.0), 3),
        (Reading(0, battery_percent=20.1), 0),
        (Reading(0, battery_percent=20.0), 1),
        (Reading(0, battery_percent=4.0), 3),
        (Reading(0, battery_percent=4.0, charging=True), 0),
        (Reading(0, free_mb=65), 0),
        (Reading(0, free_mb=39), 2),
        (Reading(0, heat_c=71.0, battery_percent=9.0, free_mb=500), 2),
    ],
)
def test_governor_one_reading_gives_the_level_of_the_table(reading: Reading, level: int) -> None:
    assert step(Governed(), reading, LIMITS).level == level


def test_governor_heat_sheds_in_order_and_restores_in_reverse() -> None:
    trace = [*range(60, 86), *range(85, 54, -1)]
    states = run([Reading(i * 20 * NS_PER_S, heat_c=float(heat)) for i, heat in enumerate(trace)])
    levels = [state.level for state in states]
    changes = [b - a for a, b in itertools.pairwise(levels) if a != b]
    assert changes == [1, 1, 1, -1, -1, -1]
    assert max(levels) == 3
    assert levels[-1] == 0
    for state in states:
        assert state.shed == SHED_ORDER[: state.level]
        assert state.allows("backbone") == (state.level < 3)


def test_governor_value_around_a_limit_does_not_oscillate() -> None:
    states = run([Reading(i * NS_PER_S, heat_c=70 + (-1) ** i * 2.0) for i in range(600)])
    assert {state.level for state in states} == {1}


def test_governor_cooled_board_is_not_held_back_by_another_measure() -> None:
    hot = Reading(0, heat_c=71, battery_percent=22)
    cool = Reading(60 * NS_PER_S, heat_c=60, battery_percent=22)  # 22 % was never under 20: its hysteresis has no say
    assert [state.level for state in run([hot, cool])] == [1, 0]


def test_governor_recovery_takes_one_step_at_a_time_with_a_pause() -> None:
    states = run([Reading(i * 10 * NS_PER_S, heat_c=90.0 if i == 0 else 20.0) for i in range(12)])
    assert [state.level for state in states] == [3, 3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0]


def test_governor_limits_follow_the_board() -> None:
    throttles = {name: load_board(name).throttle_c for name in ("pi5", "zero2w", "orin-nano")}
    assert throttles == {"pi5": 80, "zero2w": 80, "orin-nano": 99}
    assert Limits.below(80) == Limits()
    assert step(Governed(), Reading(0, heat_c=88), Limits.below(99)).level == 0
    assert step(Governed(), Reading(0, heat_c=89), Limits.below(99)).level == 1


def test_governor_decision_names_its_reason() -> None:
    assert step(Governed(), Reading(0, heat_c=81), LIMITS).why == "81 deg C"
    assert step(Governed(), Reading(0, battery_percent=7), LIMITS).why == "battery at 7 %"

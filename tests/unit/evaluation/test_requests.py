"""What counts as right arguments."""

from __future__ import annotations

from typing import Any

import pytest

from glasses.evaluation.requests import right_arguments


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("set_timer", {"duration": "an hour and a half"}, {"duration_s": 5400}),
        ("set_timer", {"duration": "5 min", "name": "the eggs"}, {"duration_s": 300, "name": "egg"}),
        ("set_alarm", {"when": "at six every weekday"}, {"when": "2026-12-03T06:00", "repeat": "weekdays"}),
        ("set_reminder", {"when": "tomorrow", "text": "The rent."}, {"when": "2026-12-03T09:00", "text": "rent"}),
        ("cancel_alarm", {"when": "seven o'clock"}, {"when": "07:00"}),
        ("cancel_timer", {"all": True}, {"all": True}),
        ("date", {"day": "the day before yesterday"}, {"day": ["2026-11-30", "2026-11-29"]}),
        ("calculate", {"expression": "seven times eight"}, {"result": 56}),
        ("convert", {"amount": 2, "unit": "pounds", "to": "kilos"}, {"amount": 2, "unit": "pound", "to": "kilogram"}),
        ("convert", {"amount": 2, "unit": "pounds", "to": "euros"}, {"amount": 2, "unit": "GBP", "to": "EUR"}),
        ("set_volume", {"change": "up"}, {"change": 1}),
        ("set_volume", {"change": "up", "level": 30}, {"level": 30}),
        ("haptic", {}, {"times": 1}),
        ("recall", {}, {}),
    ],
)
def test_right_arguments_of_another_wording_are_right(
    tool: str, arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert right_arguments(tool, arguments, expected)


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("set_timer", {}, {"duration_s": 5400}),
        ("set_timer", {"duration": "five minutes"}, {"duration_s": 300, "name": "egg"}),
        ("set_timer", {"duration": "five minutes", "name": "egg"}, {"duration_s": 300}),
        ("set_timer", {"duration": "five apples"}, {"duration_s": 300}),
        ("cancel_timer", {}, {"all": True}),
        ("cancel_timer", {"name": "egg"}, {}),
        ("recall", {"about": "keys"}, {"about": "passport"}),
        ("convert", {"amount": 2, "unit": "pounds", "to": "kilos"}, {"amount": 2, "unit": "GBP", "to": "kilogram"}),
        ("set_volume", {}, {"change": 1}),
    ],
)
def test_right_arguments_missing_other_or_too_many_are_wrong(
    tool: str, arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert not right_arguments(tool, arguments, expected)

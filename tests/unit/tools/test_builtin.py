"""What the built-in tools say, and what they refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from glasses.errors import InputError, Reason
from glasses.tools.builtin import BUILTIN
from glasses.tools.builtin.numbers import value_of
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext, tool

TOOLS = {one.name: one for one in BUILTIN}


class Device:
    """Writes down what it was told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def adjust(self, setting: str, level: int | None, change: int) -> str:
        self.done.append((setting, level, change))
        return "Done."

    def do(self, action: str) -> str:
        self.done.append((action,))
        return "Done."

    def play(self, sound: str) -> str:
        self.done.append(("play", sound))
        return ""

    def buzz(self, times: int) -> str:
        self.done.append(("buzz", times))
        return ""


@pytest.fixture
def context() -> ToolContext:
    return ToolContext(lambda: datetime(2026, 3, 4, 10, 30), ToolStore(":memory:"), Device())


def call(context: ToolContext, tool_name: str, /, **arguments: Any) -> str:
    return TOOLS[tool_name].call(context, arguments)


def test_time_here_and_elsewhere(context: ToolContext) -> None:
    assert call(context, "time") == "It is 10:30 in the morning."
    assert call(context, "time", place="san francisco").startswith("In San Francisco it is ")
    with pytest.raises(InputError, match="time zone of Atlantis"):
        call(context, "time", place="Atlantis")


def test_date_of_another_day(context: ToolContext) -> None:
    assert call(context, "date", day="tomorrow") == "That is Thursday, March 5, 2026."


def test_timers_are_listed_and_cancelled_by_name(context: ToolContext) -> None:
    call(context, "set_timer", duration="six minutes", name="rice")
    call(context, "set_timer", duration="an hour")
    assert "for rice" in call(context, "list_timers", name="the rice timer")
    assert call(context, "cancel_timer").startswith("Which one: rice and ")
    assert call(context, "cancel_timer", name="rice") == "The timer is cancelled."
    assert call(context, "cancel_timer", name="rice") == "There is no timer for rice."
    assert call(context, "cancel_timer", all=True) == "The timer is cancelled."


def test_alarms_are_cancelled_by_time(context: ToolContext) -> None:
    call(context, "set_alarm", when="six thirty every weekday")
    call(context, "set_alarm", when="tomorrow at eight")
    assert call(context, "list_alarms") == "Tomorrow at 6:30 in the morning and tomorrow at 8:00 in the morning."
    assert call(context, "cancel_alarm", when="six thirty") == "The alarm is cancelled."
    assert call(context, "list_alarms") == "Tomorrow at 8:00 in the morning."


def test_reminder_is_repeated_back(context: ToolContext) -> None:
    said = call(context, "set_reminder", text="call Tom.", when="tomorrow at five pm")
    assert said == "I will remind you tomorrow at 5:00 in the afternoon: call Tom."
    assert "call Tom" in call(context, "list_reminders")


def test_notes_are_found_by_their_telling_words(context: ToolContext) -> None:
    call(context, "remember", text="I parked on level two.")
    call(context, "remember", text="Tom's birthday is in May")
    assert call(context, "recall", about="where did I park") == "I parked on level two."
    assert call(context, "recall", about="the boat") == "I have no note about the boat."
    assert call(context, "forget", about="Tom").startswith("Forgotten: Tom's")
    assert call(context, "forget", all=True) == "All notes are deleted."


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("six times seven", 42),
        ("a hundred and eight divided by nine", 12),
        ("ten percent of ninety", 9),
        ("subtract eleven from forty", 29),
        ("the square root of eighty one", 9),
        ("three cubed", 27),
        ("a third of sixty", 20),
        ("(2 + 3) * 4", 20),
        ("1,500 / 3", 500),
        ("10 - 3", 7),
        ("2^8", 256),
    ],
)
def test_value_of_a_calculation_in_words_or_signs(expression: str, value: float) -> None:
    assert value_of(expression) == pytest.approx(value)


@pytest.mark.parametrize("expression", ["", "what", "12 foo 3", "1/0", "9**9**9", "9" * 500, "__import__('os')"])
def test_value_of_no_calculation_is_refused(expression: str) -> None:
    with pytest.raises(InputError):
        value_of(expression)


def test_convert_units_and_currencies(context: ToolContext) -> None:
    assert call(context, "convert", amount=100, unit="degrees Celsius", to="Fahrenheit").startswith("100 degrees")
    assert "160.934" in call(context, "convert", amount=100, unit="miles", to="kilometres")
    assert "by the rates of" in call(context, "convert", amount=10, unit="dollars", to="euros")
    with pytest.raises(InputError, match="cannot be turned into"):
        call(context, "convert", amount=1, unit="mile", to="gram")


def test_letters_are_exact(context: ToolContext) -> None:
    assert call(context, "spell", word="cat") == "cat: C, A, T."
    assert call(context, "count_letters", word="raspberry", letter="r") == "raspberry has 3 Rs."
    assert call(context, "count_letters", word="raspberry") == "raspberry has 9 letters."


def test_device_tools_reach_the_device(context: ToolContext) -> None:
    call(context, "set_volume", change="down")
    call(context, "set_speed", level=80)
    call(context, "mute")
    call(context, "haptic", times=99)
    assert isinstance(context.controls, Device)
    assert context.controls.done == [("volume", None, -1), ("speed", 80, 0), ("mute",), ("buzz", 10)]


def test_device_tool_without_a_device_says_so() -> None:
    alone = ToolContext(lambda: datetime(2026, 3, 4), ToolStore(":memory:"))
    with pytest.raises(InputError) as caught:
        TOOLS["mute"].call(alone, {})
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("arguments", [{}, {"duration": 5}, {"duration": "a minute", "colour": "red"}])
def test_call_with_arguments_that_do_not_fit_is_refused(context: ToolContext, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="tool set_timer"):
        TOOLS["set_timer"].call(context, arguments)


def test_tool_that_fails_does_not_end_the_caller(context: ToolContext) -> None:
    @tool
    def breaks(context: ToolContext) -> str:
        """Breaks."""
        raise KeyError("x")

    with pytest.raises(InputError, match="tool breaks failed"):
        breaks.call(context, {})


def test_tool_has_a_schema_of_its_annotations() -> None:
    schema = TOOLS["set_volume"].schema
    assert schema["type"] == "object"
    assert schema["properties"]["change"]["enum"] == ["", "down", "up"]
    assert schema["additionalProperties"] is False


def test_builtin_names_are_unique_and_described() -> None:
    assert len(TOOLS) == len(BUILTIN)
    assert all(one.description.endswith(".") and one.examples for one in BUILTIN)

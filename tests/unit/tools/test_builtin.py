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
    assert call(context, "date", day="yesterday") == "That was Tuesday, March 3, 2026."


def test_timers_are_listed_and_cancelled_by_name(context: ToolContext) -> None:
    call(context, "set_timer", duration="six minutes", name="rice")
    call(context, "set_timer", duration="an hour")
    assert "for rice" in call(context, "list_timers", name="the rice timer")
    assert call(context, "cancel_timer") == "Which one: rice or 1 hour?"
    call(context, "set_timer", duration="ten minutes", name="rice")
    assert call(context, "cancel_timer", name="rice") == "Which one: rice 6 minutes or rice 10 minutes?"
    call(context, "cancel_timer", all=True)
    call(context, "set_timer", duration="six minutes", name="rice")
    call(context, "set_timer", duration="an hour")
    assert call(context, "cancel_timer", name="rice") == "The timer is cancelled."
    assert call(context, "cancel_timer", name="rice") == "There is no timer for rice."
    assert call(context, "cancel_timer", all=True) == "The timer is cancelled."


def test_alarms_are_cancelled_by_time(context: ToolContext) -> None:
    call(context, "set_alarm", when="six thirty every weekday")
    call(context, "set_alarm", when="tomorrow at eight")
    assert call(context, "list_alarms") == (
        "Tomorrow at 6:30 in the morning, on weekdays, and tomorrow at 8:00 in the morning."
    )
    assert call(context, "cancel_alarm", when="six thirty") == "The alarm is cancelled."
    assert call(context, "list_alarms") == "Tomorrow at 8:00 in the morning."


def test_reminder_is_repeated_back(context: ToolContext) -> None:
    said = call(context, "set_reminder", text="call Tom.", when="tomorrow at five pm")
    assert said == "I will remind you tomorrow at 5:00 in the afternoon: call Tom."
    assert call(context, "list_reminders") == "Call Tom tomorrow at 5:00 in the afternoon."


def test_reminder_of_a_day_that_has_no_morning_left_is_asked_for_its_time(context: ToolContext) -> None:
    with pytest.raises(InputError, match="At what time"):
        call(context, "set_reminder", text="buy milk", when="today")
    assert "tomorrow at 9:00 in the morning, every day" in call(context, "set_reminder", text="read", when="every day")
    with pytest.raises(InputError, match="Of what"):
        call(context, "set_reminder", text=" ", when="at five")


def test_notes_with_half_of_the_words_are_told_but_not_forgotten(context: ToolContext) -> None:
    call(context, "remember", text="My car is on level three")
    call(context, "remember", text="The boat is in the harbour")
    assert call(context, "recall", about="park my car") == "You said: My car is on level three."
    assert (
        call(context, "recall", about="the red bicycle in the cellar")
        == "I have no note about the red bicycle in the cellar."
    )
    assert call(context, "forget", about="park my car") == "I have no note about park my car."


def test_notes_are_found_by_their_telling_words(context: ToolContext) -> None:
    call(context, "remember", text="I parked on level two.")
    call(context, "remember", text="Tom's birthday is in May")
    assert call(context, "recall", about="where did I park") == "You said: I parked on level two."
    assert call(context, "recall", about="the boat") == "I have no note about the boat."
    call(context, "remember", text="My seat is 14 B")
    assert call(context, "recall", about="birthday") == "You said: Tom's birthday is in May."
    with pytest.raises(InputError, match="remembered"):
        call(context, "remember", text="")
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
        ("seven and a half times two", 15),
        ("one third plus one third", 2 / 3),
        ("the average of three and five", 4),
        ("the difference between four and ten", 6),
        ("the product of three and four", 12),
        ("ten less than thirty", 20),
        ("twice seven", 14),
        ("20% off 50", 40),
        ("eighty minus fifteen percent", 68),
        ("100 + 10%", 110),
        ("what is 80 plus 5 percent", 84),
        ("17 % 5", 2),
        ("split 90 dollars among 4 people", 22.5),
    ],
)
def test_value_of_a_calculation_in_words_or_signs(expression: str, value: float) -> None:
    assert value_of(expression) == pytest.approx(value)


@pytest.mark.parametrize(
    "expression",
    [
        "", "what", "12 foo 3", "1/0", "9**9**9", "9" * 500, "__import__('os')", "log of 100", "5 factorial", "3 dozen",
        "5 + 5 - 3%",        "the square root of minus one", "apples plus 3", "how old am I if I was born in 1980",
    ],
)  # fmt: skip
def test_value_of_no_calculation_is_refused(expression: str) -> None:
    with pytest.raises(InputError):
        value_of(expression)


def test_convert_units_and_currencies(context: ToolContext) -> None:
    assert call(context, "convert", amount=100, unit="degrees Celsius", to="Fahrenheit").startswith("100 degrees")
    assert "160.934" in call(context, "convert", amount=100, unit="miles", to="kilometres")
    assert "by the rates of" in call(context, "convert", amount=10, unit="dollars", to="euros")
    with pytest.raises(InputError, match="cannot be turned into"):
        call(context, "convert", amount=1, unit="mile", to="gram")


@pytest.mark.parametrize(
    ("amount", "unit", "to", "said"),
    [
        (1, "mile", "km", "1 mile is 1.60934 km."),
        (20, "\u00b0C", "F", "20 \u00b0C are 68 F."),
        (60, "miles an hour", "kilometres per hour", "60 miles an hour are 96.5606 kilometres per hour."),
        (3, "square kilometres", "hectares", "3 square kilometres are 300 hectares."),
        (3, "cubic meters", "liters", "3 cubic meters are 3000 liters."),
        (1, "light year", "km", "1 light year is 9 460 730 000 000 km."),
        (50, "dollars", "USD", "50 USD are 50 USD."),
    ],
)
def test_convert_says_a_sentence(context: ToolContext, amount: float, unit: str, to: str, said: str) -> None:
    assert call(context, "convert", amount=amount, unit=unit, to=to) == said


def test_convert_takes_pounds_for_money_beside_money(context: ToolContext) -> None:
    assert " GBP, by the rates of" in call(context, "convert", amount=50, unit="\u20ac", to="pounds")
    with pytest.raises(InputError, match="currency bitcoin"):
        call(context, "convert", amount=1, unit="euros", to="bitcoin")
    with pytest.raises(InputError, match="no amount"):
        call(context, "convert", amount=float("nan"), unit="mile", to="km")


def test_letters_are_exact(context: ToolContext) -> None:
    assert call(context, "spell", word="cat") == "cat: C, A, T."
    assert call(context, "count_letters", word="raspberry", letter="r") == "raspberry has 3 Rs."
    assert call(context, "count_letters", word="raspberry") == "raspberry has 9 letters."
    assert call(context, "count_letters", word="raspberry", letter="the letter p") == "raspberry has 1 P."
    assert call(context, "count_letters", word="I") == "I has 1 letter."
    with pytest.raises(InputError, match="Which letter"):
        call(context, "count_letters", word="banana", letter="zz")


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


def test_call_that_does_not_fit_says_in_words_what_is_wrong(context: ToolContext) -> None:
    with pytest.raises(InputError, match="tool convert: to is missing; it takes amount, unit, to"):
        call(context, "convert", amount=1, unit="mile")
    with pytest.raises(InputError, match="tool convert: amount must be a number"):
        call(context, "convert", amount="ten", unit="mile", to="km")


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

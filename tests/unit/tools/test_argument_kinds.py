"""Kinds of arguments and their readers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
import pytest

from glasses.errors import InputError
from glasses.tools import readers
from glasses.tools.builtin import BUILTIN
from glasses.tools.kinds import Argument, Duration, Label, Level, arguments_of
from glasses.tools.schema_struct import struct_of
from glasses.tools.tool import ToolContext, tool

NOW = datetime(2026, 12, 2, 10, 30)


@tool
def feed_fish(
    context: ToolContext, delay: Duration, city: str, food: Literal["flakes", "worms"], level: Level | None = None
) -> str:
    """Feeds the fish."""
    return f"{delay} {city} {food} {level}"


def test_arguments_of_a_plugin_tool_have_the_kinds_that_it_says_or_their_names_tell() -> None:
    assert arguments_of(feed_fish.arguments) == [
        Argument("delay", "duration", "str", required=True),
        Argument("city", "place", "str", required=True),
        Argument("food", None, "choice", required=True, choices=("flakes", "worms")),
        Argument("level", "level", "int", required=False),
    ]


def test_arguments_of_a_kind_are_plain_types_to_the_tool_and_described_in_its_schema() -> None:
    assert feed_fish.checked({"delay": "an hour", "city": "Rome", "food": "worms"})
    assert feed_fish.schema["properties"]["delay"] == {
        "type": "string",
        "description": "how long, in words: five minutes",
    }


def test_arguments_of_nested_types_are_other_and_named_as_on_the_wire() -> None:
    struct = msgspec.defstruct(
        "given", [("from_", str), ("items", list[str]), ("n", int | str | None, None)], rename={"from_": "from"}
    )
    assert [(one.name, one.type) for one in arguments_of(struct)] == [
        ("from", "str"),
        ("items", "other"),
        ("n", "other"),
    ]


def test_arguments_whose_description_names_iana_zones_are_zones() -> None:
    said = "IANA timezone name (e.g., 'America/New_York'). Use 'Europe/Paris' as local timezone if none is given."
    properties = {"timezone": {"type": "string", "description": said}, "note": {"type": "string"}}
    struct = struct_of("now", {"type": "object", "properties": properties, "required": ["timezone"]})
    assert [(one.name, one.kind, one.required) for one in arguments_of(struct)] == [
        ("timezone", "zone", True),
        ("note", "text", False),
    ]


def test_arguments_of_builtin_tools_all_have_a_kind_that_can_be_found() -> None:
    kinds = {(one.name, one.kind) for made in BUILTIN for one in arguments_of(made.arguments) if one.kind is None}
    assert kinds == {("all", None), ("change", None), ("page", None)}


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("duration", "five minutes,", "five minutes"),
        ("duration", "for minutes", "four minutes"),
        ("when", "tomorrow at half past six.", "tomorrow at half past six"),
        ("morning", "at 1030", "at 10:30"),
        ("day", "yesterday", "yesterday"),
        ("amount", "three hundred and twenty", 320.0),
        ("amount", "1,500", 1500.0),
        ("amount", "two and a half", 2.5),
        ("amount", "a hundred", 100.0),
        ("amount", "an", 1.0),
        ("level", "thirty percent", 30),
        ("level", "40%.", 40),
        ("level", "the maximum", 100),
        ("level", "half", 50),
        ("times", "twice", 2),
        ("zone", "Madrid.", "Europe/Madrid"),
        ("zone", "in New York", "America/New_York"),
        ("zone", "Japan", "Asia/Tokyo"),
        ("times", "three times in a row", 3),
        ("times", "four", 4),
        ("letter", "R's", "r"),
        ("letter", "the letter e", "e"),
        ("letter", "eyes", "i"),
        ("letter", "elves", "l"),
        ("morning", "at a quarter past state", "at a quarter past eight"),
        ("duration", "in hour end a half", "an hour and a half"),
        ("expression", "seven times eight", "seven times eight"),
        ("name", '"eggs".', "eggs"),
        (None, "anything!", "anything"),
    ],
)
def test_read_what_the_wearer_says_is_a_value(kind: str | None, words: str, value: Any) -> None:
    assert readers.read(kind, words, NOW) == value


@pytest.mark.parametrize(
    ("kind", "words"),
    [("duration", "five apples"), ("when", "the oven"), ("amount", "eggs"), ("level", "thousand percent"),
     ("times", "often"), ("letter", "banana"), ("name", " ?")],
)  # fmt: skip
def test_read_other_words_are_refused(kind: str, words: str) -> None:
    with pytest.raises(InputError):
        readers.read(kind, words, NOW)


def test_label_is_a_string_to_a_type_checker() -> None:
    name: Label = "eggs"
    assert name == "eggs"

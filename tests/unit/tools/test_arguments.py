"""Arguments found in a turn's rows, with the pocket bundle's backbone and heads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.tools.arguments import ArgumentReader
from glasses.tools.builtin import BUILTIN
from glasses.tools.duration import seconds_of
from glasses.tools.kinds import Place, Zone
from glasses.tools.said import Speller
from glasses.tools.tool import ToolContext, tool
from glasses.types import Float32Array

pytestmark = pytest.mark.models
NOW = datetime(2026, 12, 2, 10, 30)
TOOLS = {one.name: one for one in BUILTIN}


@tool
def weather(context: ToolContext, city: Place, scale: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Tells the weather."""
    return f"{city} {scale}"


@tool
def lamp(context: ToolContext, lamp: Literal["home.kitchen", "home.living_room", "home.room"]) -> str:
    """Switches a lamp on."""
    return lamp


@tool
def clock_of(context: ToolContext, zone: Zone) -> str:
    """Tells the clock of the world."""
    return zone


@tool
def plan_route(context: ToolContext, stops: list[str]) -> str:
    """Plans a route over several places."""
    return ", ".join(stops)


@pytest.fixture
def fed(backbone: LlamaBackbone) -> Iterator[LlamaBackbone]:
    backbone.feed([backbone.tokenize("<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\n")])
    yield backbone
    backbone.rollback(0)


@pytest.fixture(scope="session")
def reader(shared_backbone: LlamaBackbone) -> ArgumentReader:
    heads = store.path_of("arguments-pocket")
    return ArgumentReader(shared_backbone, heads, lambda: NOW)


def rows_of(backbone: LlamaBackbone, words: str) -> Float32Array:
    """The rows of the words, which are in the cache with the suffix behind them."""
    rows = backbone.token_rows(backbone.tokenize(words, special=False))
    backbone.feed([rows, backbone.tokenize("<|im_end|>\n<|im_start|>assistant\n")])
    return rows


@pytest.mark.parametrize(
    ("words", "name", "arguments"),
    [
        ("Set a timer for ten minutes.", "set_timer", {"duration": "ten minutes"}),
        ("Start a four minute timer for the spaghetti.", "set_timer", {"duration": "four minute", "name": "spaghetti"}),
        ("Wake me tomorrow at a quarter to seven.", "set_alarm", {"when": "tomorrow at a quarter to seven"}),
        (
            "Remind me on Friday at noon to call the bank.",
            "set_reminder",
            {"when": "on Friday at noon", "text": "call the bank"},
        ),
        ("Delete all my notes.", "forget", {"all": True}),
        ("How late is it in Madrid?", "time", {"place": "Madrid"}),
        ("How late is it?", "time", {}),
        ("What is 12 times 4?", "calculate", {"expression": "12 times 4"}),
        ("How do you spell rhubarb?", "spell", {"word": "rhubarb"}),
        ("You are too loud.", "set_volume", {"change": "down"}),
        ("Put the display at forty percent.", "set_brightness", {"level": 40}),
        ("What time is it?", "stop", {}),
    ],
)
def test_read_typed_request_gives_its_arguments(
    fed: LlamaBackbone, reader: ArgumentReader, words: str, name: str, arguments: dict[str, Any]
) -> None:
    assert reader.read(TOOLS[name], rows_of(fed, words)) == arguments


def test_read_leaves_the_cache_and_the_logits_as_they_were(fed: LlamaBackbone, reader: ArgumentReader) -> None:
    rows = rows_of(fed, "Set a timer for ten minutes.")
    n_past, logits, state = fed.n_past, fed.logits().copy(), bytes(fed.snapshot().kv)
    reader.read(TOOLS["set_timer"], rows)
    assert fed.n_past == n_past
    assert (fed.logits() == logits).all()
    assert bytes(fed.snapshot().kv) == state


def test_read_aborted_by_another_thread_raises_and_gives_the_cache_back(
    fed: LlamaBackbone, reader: ArgumentReader
) -> None:
    rows = rows_of(fed, "Set a timer for ten minutes.")
    n_past = fed.n_past
    fed.abort()
    with pytest.raises(ModelError) as raised:
        reader.read(TOOLS["set_timer"], rows)
    assert raised.value.reason is Reason.ABORTED
    assert fed.n_past == n_past


def test_read_arguments_of_somebody_elses_tool_are_found_by_kind(fed: LlamaBackbone, reader: ArgumentReader) -> None:
    rows = rows_of(fed, "What is the weather in Lisbon in fahrenheit?")
    assert reader.read(weather, rows) == {"city": "Lisbon", "scale": "fahrenheit"}


def test_read_names_of_a_known_list_are_found_by_their_last_part(fed: LlamaBackbone, reader: ArgumentReader) -> None:
    rows = rows_of(fed, "Switch on the lamp in the living room.")
    assert reader.read(lamp, rows) == {"lamp": "home.living_room"}
    for one in (reader, ArgumentReader(fed, None, lambda: NOW)):
        rows = rows_of(fed, "Ask the world clock about Madrid, please.")
        assert one.read(clock_of, rows) == {"zone": "Europe/Madrid"}


def test_read_nested_arguments_fit_the_schema(fed: LlamaBackbone, reader: ArgumentReader) -> None:
    found = reader.read(plan_route, rows_of(fed, "Plan a route over Rome and Milan."))
    assert found == {} or plan_route.checked(found)


def test_read_rows_that_are_no_words_give_nothing(fed: LlamaBackbone, reader: ArgumentReader) -> None:
    noise = np.random.default_rng(0).standard_normal((12, fed.n_embd)).astype(np.float32)
    fed.feed([noise])
    assert reader.read(TOOLS["set_timer"], noise) == {}


def test_read_in_a_full_context_finds_what_readers_recognize(fed: LlamaBackbone, reader: ArgumentReader) -> None:
    fed.feed([[1] * (fed.n_ctx - fed.n_past - 20)])
    rows = rows_of(fed, "Time ninety seconds.")
    assert reader.read(TOOLS["set_timer"], rows) == {"duration": "ninety seconds"}
    assert reader.read(plan_route, rows) == {}


def test_read_without_heads_finds_what_readers_recognize(fed: LlamaBackbone) -> None:
    plain = ArgumentReader(fed, None, lambda: NOW)
    rows = rows_of(fed, "Set a timer for ninety seconds please.")
    found = plain.read(TOOLS["set_timer"], rows)
    assert seconds_of(found["duration"]) == 90


def test_read_without_heads_what_the_backbone_writes_was_said(fed: LlamaBackbone) -> None:
    plain = ArgumentReader(fed, None, lambda: NOW)
    found = plain.read(TOOLS["spell"], rows_of(fed, "How do you spell rhubarb?"))
    assert found.get("word", "rhubarb") in "How do you spell rhubarb"


def test_words_of_typed_rows_are_the_words(backbone: LlamaBackbone) -> None:
    text = "Remind me to call Grandma at 7:45, won't you?"
    said = Speller(backbone).words(backbone.token_rows(backbone.tokenize(text, special=False)))
    assert " ".join(word.text for word in said) == text


def test_words_of_rows_between_two_tokens_are_those_of_the_nearer(backbone: LlamaBackbone) -> None:
    write, right = (backbone.token_rows(backbone.tokenize(one, special=False)) for one in (" write", " right"))
    words = Speller(backbone).words((0.8 * write + 0.2 * right).astype(np.float32))
    assert [word.text for word in words] == ["write"]

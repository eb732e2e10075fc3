"""The parts of the chat API that need no model: cutting at stop strings, base64, messages, choices of tools."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from glasses.service.protocol.generation_params import CallAnswer, Function, JsonAnswer
from glasses.service.server.openai.base64_data import data_of
from glasses.service.server.openai.cutter import Cutter
from glasses.service.server.openai.forms import call_form, functions_of, json_form
from glasses.service.server.openai.turns import turns_of
from glasses.service.server.problems import FieldError
from glasses.types import Token

DATA = bytes(random.Random(0).randbytes(1000))
CODED = base64.b64encode(DATA).decode()


def cut(texts: list[str], *stops: str, mark: str = "") -> tuple[list[str], str, bool]:
    """The pieces that a cutter gives for tokens of these texts, what it kept apart, and whether it stopped."""
    cutter, out = Cutter(stops, mark), []
    for i, text in enumerate(texts):
        piece = cutter.add(Token(1, i, text, 0.0, None, i == len(texts) - 1))
        if piece.text:
            out.append(piece.text)
        if cutter.stopped:
            break
    return out, cutter.rest, cutter.stopped


@pytest.mark.parametrize(
    ("texts", "stops", "pieces"),
    [
        (["a", "b", "c"], ("b",), ["a"]),
        (["one t", "wo th", "ree"], ("two",), ["one "]),
        (["one t", "o", " three"], ("two",), ["one ", "to", " three"]),
        (["aa", "ab"], ("aab",), ["a"]),
        (["x", "abc"], ("c", "ab"), ["x"]),
        (["a", "tw"], ("two",), ["a", "tw"]),
        (["STOP"], ("STOP",), []),
    ],
)
def test_cutter_ends_before_the_first_stop_string(texts: list[str], stops: tuple[str, ...], pieces: list[str]) -> None:
    assert cut(texts, *stops)[0] == pieces


def test_cutter_made_up_cuts_never_show_a_stop_string() -> None:
    made_up = random.Random(1)
    for _ in range(2000):
        text = "".join(made_up.choices("ab", k=12))
        at = sorted(made_up.sample(range(1, 12), 3))
        texts = [text[i:j] for i, j in zip([0, *at], [*at, 12], strict=True)]
        stop = "".join(made_up.choices("ab", k=made_up.randint(1, 5)))
        pieces, _, stopped = cut(texts, stop)
        assert "".join(pieces) == text.partition(stop)[0]
        assert stopped == (stop in text)


def test_cutter_keeps_what_follows_the_mark_apart() -> None:
    assert cut(["Wait <", "call", ">{", "} stop"], "stop", mark="<call>") == (["Wait "], "<call>{} stop", False)


@pytest.mark.parametrize(
    "text",
    [
        CODED,
        f"data:image/png;base64,{CODED}",
        f" DATA:;BASE64, {CODED} ",
        f"data:image/png;charset=utf-8;base64,{CODED.rstrip('=')}",
        "data:a/b;base64," + "\r\n".join(CODED[i : i + 76] for i in range(0, len(CODED), 76)),
        CODED.replace("+", "-").replace("/", "_"),
        "data:;base64," + CODED.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        f"data:image/png,{CODED}",
        "data:," + "".join(f"%{byte:02x}" for byte in DATA),
    ],
)
def test_data_of_every_way_to_write_it_is_the_same(text: str) -> None:
    assert data_of(text, "x") == DATA


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("data:,", "empty"),
        ("data:image/png;base64,", "empty"),
        ("AAA!", "'!' at character 3"),
        ("AAAAA", "cut short"),
        ("https://example.org/x.png", "nothing is fetched"),
        ("file:///etc/passwd", "nothing is fetched"),
    ],
)
def test_data_of_what_is_none_names_its_place(text: str, message: str) -> None:
    with pytest.raises(FieldError, match=r"messages\[2\]\.content\[1\].*" + message) as caught:
        data_of(text, "messages[2].content[1]")
    assert caught.value.param == "messages[2].content[1]"


def test_turns_of_tools_become_words() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turns = turns_of(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": ["Hello", {"type": "text", "text": "!"}]},
            {"role": "assistant", "content": None, "tool_calls": [call, call]},
            {"role": "tool", "tool_call_id": "c", "content": "one"},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "two"}]},
            {"role": "assistant", "refusal": "No."},
        ]
    )
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant"]
    assert "".join(map(str, turns[1].parts)) == "Hello!"
    assert "".join(map(str, turns[2].parts)).count('{"name": "f", "arguments": {"a": 1}}') == 2
    assert "".join(map(str, turns[3].parts)).count("<tool_response>") == 2
    assert turns[4].parts == ("No.",)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
        ({"role": "user", "content": [{"type": "file"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "messages[0].content[0].image_url.url"),
        ({"role": "user", "content": "x", "tool_calls": [{"function": {"name": "f"}}]}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "messages[0].tool_calls[0]"),
        ({"role": "user", "content": "x", "nonsense": 1}, "messages[0].nonsense"),
        ("x", "messages[0]"),
    ],
)
def test_turns_of_what_cannot_be_used_names_its_place(message: Any, param: str) -> None:
    with pytest.raises(FieldError) as caught:
        turns_of([message])
    assert caught.value.param == param


F, G = Function("f"), Function("g")


@pytest.mark.parametrize(
    ("choice", "form"),
    [
        (None, CallAnswer([F, G], False, True)),
        ("auto", CallAnswer([F, G], False, True)),
        ("required", CallAnswer([F, G], True, True)),
        ("none", None),
        ({"type": "function", "function": {"name": "g"}}, CallAnswer([G], True, False)),
        ({"type": "function", "name": "g"}, CallAnswer([G], True, False)),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"function": {"name": "f"}}]}},
            CallAnswer([F], True, True),
        ),
    ],
)
def test_call_form_of_every_choice(choice: Any, form: CallAnswer | None) -> None:
    assert call_form([F, G], choice, parallel=True) == form


@pytest.mark.parametrize("choice", ["sometimes", {"type": "function", "function": {"name": "h"}}, {"type": "mcp"}])
def test_call_form_of_no_such_choice_is_refused(choice: Any) -> None:
    with pytest.raises(FieldError):
        call_form([F, G], choice, parallel=True)


@pytest.mark.parametrize(
    "tools", [[{"type": "web_search"}], [{"function": {"name": "a b"}}], [{"function": {"name": "f"}}] * 2, [5]]
)
def test_functions_of_what_are_none_is_refused(tools: list[Any]) -> None:
    with pytest.raises(FieldError):
        functions_of(tools)


def test_json_form_of_every_kind() -> None:
    assert json_form({"type": "text"}, "x") is None
    assert json_form({"type": "json_object"}, "x") == JsonAnswer()
    named = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}, "strict": True}}
    flat = {"type": "json_schema", "name": "n", "schema": {"type": "array"}, "strict": True}
    assert json_form(named, "x") == json_form(flat, "x") == JsonAnswer({"type": "array"}, True)
    with pytest.raises(FieldError):
        json_form({"type": "xml"}, "x")

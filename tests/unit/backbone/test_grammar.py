"""JSON schemas and calls of functions as grammars: what llama.cpp lets through, token by token."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from glasses.backbone import call_grammar, json_schema
from glasses.backbone.call_grammar import Call, Function
from glasses.backbone.grammar import Grammar
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import InputError, Reason

WEATHER = Function("weather", "tells the weather", {"type": "object", "properties": {"city": {"type": "string"}}})
FUNCTIONS = [WEATHER, Function("time-of-day")]
PARIS = Call("weather", '{"city": "Paris"}')
CALL = call_grammar.written([PARIS])


def takes(backbone: LlamaBackbone, gbnf: str, text: str) -> bool:
    """Whether an answer may be exactly `text`."""
    grammar = Grammar(backbone.vocabulary, gbnf)
    for token in backbone.tokenize(text, special=False):
        if not grammar.allows(token):
            return False
        grammar.accept(token)
    return any(grammar.allows(token) for token in backbone.eos)


PERSON = {
    "type": "object",
    "title": "Person",
    "properties": {
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "phone": {"type": "string", "pattern": r"^\d{3}-[^a]+.$"},
        "name": {"type": ["string", "null"], "maxLength": 6},
        "kind": {"type": ["string", "null"], "enum": ["a", "b", None]},
        "friend": {"$ref": "#/$defs/Friend"},
    },
    "required": ["age"],
    "additionalProperties": False,
    "$defs": {"Friend": {"type": "object", "properties": {"friend": {"$ref": "#/$defs/Friend"}}}},
}


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('{"age": 12}', True),
        ('{"age": 131}', False),
        ('{"age": 1, "name": null}', True),
        ('{"age": 1, "name": "Zoë👍"}', True),
        ('{"age": 1, "name": "1234567"}', False),
        ('{"age": 1, "name": "a\nb"}', False),
        ('{"age": 1, "phone": "123-bcd"}', True),
        ('{"age": 1, "phone": "123-b"d"}', False),
        ('{"age": 1, "kind": "c"}', False),
        ('{"age": 1, "kind": null, "friend": {"friend": {}}}', True),
        ('{"age": 1, "other": 1}', False),
        ('{"name": "a"}', False),
    ],
)
def test_schema_lets_through_what_fits_it(backbone: LlamaBackbone, text: str, right: bool) -> None:
    assert takes(backbone, json_schema.gbnf(PERSON, strict=True), text) == right


@pytest.mark.models
@pytest.mark.parametrize(
    ("text", "required", "auto"),
    [
        (CALL, True, True),
        (f"{CALL}\n{CALL}", True, True),
        (call_grammar.written([Call("time-of-day", '{"a": [1]}')]), True, True),
        ("hello", False, True),
        (f"Let me <b>look</b> <<tool_cal {CALL}", False, True),
        ("a <tool_call> b", False, False),
        (CALL.replace("weather", "wether"), False, False),
        (f"{CALL} and so on", False, False),
    ],
)
def test_calls_are_whole_and_text_stands_before_them(
    backbone: LlamaBackbone, text: str, required: bool, auto: bool
) -> None:
    for is_required, right in ((True, required), (False, auto)):
        gbnf = call_grammar.grammar(FUNCTIONS, required=is_required, parallel=True)
        assert takes(backbone, gbnf, text) == right


def test_calls_read_give_text_and_calls() -> None:
    assert call_grammar.read(f"Wait. {CALL}\n{CALL}") == ("Wait. ", [PARIS, PARIS])
    assert call_grammar.read(CALL[:-5]) == ("", [])
    assert call_grammar.read("no call") == ("no call", [])
    assert call_grammar.read(call_grammar.written([Call("f", "not json")]))[1] == [Call("f", '"not json"')]


@pytest.mark.models
def test_grammar_never_lets_control_tokens_through(backbone: LlamaBackbone) -> None:
    grammar = Grammar(backbone.vocabulary, 'root ::= [^"]*')
    (start,) = backbone.tokenize("<|im_start|>")
    allowed = np.isfinite(grammar.restrict(np.zeros(backbone.n_vocab + 3, np.float32)))
    assert not allowed[start]
    assert not allowed[backbone.n_vocab :].any()
    assert allowed[backbone.tokenize("a")[0]]


@pytest.mark.models
def test_grammar_that_cannot_be_used_is_refused(backbone: LlamaBackbone) -> None:
    with pytest.raises(InputError, match="left recursion"):
        Grammar(backbone.vocabulary, json_schema.gbnf({"anyOf": [{"$ref": "#"}]}))


DEEP: dict[str, Any] = {}
for _ in range(40):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, Reason.BAD_INPUT),
        ({"type": []}, Reason.BAD_INPUT),
        ({"type": {"a": 1}}, Reason.BAD_INPUT),
        ({"properties": 5}, Reason.BAD_INPUT),
        ({"properties": {"": {}}}, Reason.BAD_INPUT),
        ({"$ref": "http://127.0.0.1:1/x"}, Reason.BAD_INPUT),
        ({"$ref": "#/nope"}, Reason.BAD_INPUT),
        ({"allOf": [{"$ref": "#"}]}, Reason.TOO_LARGE),
        ({"anyOf": []}, Reason.BAD_INPUT),
        ({"enum": []}, Reason.BAD_INPUT),
        ({"type": "string", "pattern": "^)$"}, Reason.BAD_INPUT),
        ({"type": "string", "pattern": "a"}, Reason.BAD_INPUT),
        ({"type": "string", "pattern": "^a{5000}$"}, Reason.TOO_LARGE),
        ({"type": "string", "minLength": 5000}, Reason.TOO_LARGE),
        ({"type": "array", "minItems": 3, "maxItems": 2}, Reason.BAD_INPUT),
        ({"type": "integer", "minimum": 2, "maximum": 1}, Reason.BAD_INPUT),
        ({"not": {}}, Reason.BAD_INPUT),
        (DEEP, Reason.TOO_LARGE),
        ({"enum": ["x" * 1000] * 100}, Reason.TOO_LARGE),
    ],
)
def test_schema_that_cannot_be_enforced_is_refused(schema: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(InputError) as caught:
        json_schema.gbnf(schema, strict=True)
    assert caught.value.reason is reason


def test_schema_not_strict_leaves_out_what_cannot_be_enforced() -> None:
    loose = {"type": "number", "minimum": 0.5, "multipleOf": 0.1}
    assert json_schema.gbnf(loose) == json_schema.gbnf({"type": "number"})
    assert json_schema.gbnf(json.dumps(PERSON)) == json_schema.gbnf(PERSON)

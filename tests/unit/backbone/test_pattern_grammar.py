"""Regular expressions and literals of a schema let through the JSON that fits, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glasses.backbone import json_schema, pattern_grammar
from glasses.backbone.grammar import Grammar
from glasses.backbone.llama import LlamaBackbone
from glasses.errors import InputError


def takes(backbone: LlamaBackbone, schema: dict[str, Any], text: str) -> bool:
    """Whether the whole text may be written under a schema."""
    grammar = Grammar(backbone.vocabulary, json_schema.gbnf(schema, strict=True))
    for token in backbone.tokenize(text, special=False):
        if not grammar.allows(token):
            return False
        grammar.accept(token)
    return any(grammar.allows(token) for token in backbone.eos)


@pytest.mark.models
@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        (r"^[^@]+@[^@]+\.[a-z]+$", ["a@b.cd"], ["a@bxcd", "a@b."]),
        (r"^\+?\d{2}\/\d\.\d$", ["+12/3.4", "12/3.4"], ["12/3x4"]),
        (r"^[\w\.\-\/]+$", ["a-b.c/d_e"], ["a b", "a]"]),
        (r"^yes|no$", ["yes", "no"], ["yesno", "y"]),
        (r"^[ -~]+$", ["plain [text] ^~"], ["é", "a\tb"]),
        (r"^[^a-c\s]{2}$", ["dé", "🙂x"], ["da", "d "]),
        (r"^\$[0-9]+$", ["$5"], ["5"]),
        (r"^.{1,3}$", ["ab"], ["abcd"]),
        (r"^[+-]?[a[\]]$", ["-a", "]"], ["b"]),
        (r"^[a-]$", ["-", "a"], ["b"]),
        (r"^[\d-]{2}$", ["1-"], ["ab"]),
        ("^$", [""], ["a"]),
    ],
)
def test_pattern_lets_through_what_fits_it(
    backbone: LlamaBackbone, pattern: str, fitting: list[str], others: list[str]
) -> None:
    schema = {"type": "string", "pattern": pattern}
    assert [takes(backbone, schema, json.dumps(one, ensure_ascii=False)) for one in fitting] == [True] * len(fitting)
    assert [takes(backbone, schema, json.dumps(one, ensure_ascii=False)) for one in others] == [False] * len(others)


@pytest.mark.models
@pytest.mark.parametrize("pattern", [r"^[ -~]+$", r"^[^a]+$", r"^[!-\]]+$", "^.+$", "^yes|no$"])
def test_pattern_lets_no_quote_end_the_text_early(backbone: LlamaBackbone, pattern: str) -> None:
    schema = {"type": "string", "pattern": pattern}
    for text in ('"b"c"', '"b\\c"', '"yes', '"b\nc"'):
        assert not takes(backbone, schema, text)


@pytest.mark.parametrize(
    "pattern",
    ["^a$|^b$", r"^\bx$", r"^\S+$", r"^(?i)a$", "^a+?$", r"^a\\b$", '^"$', "^[$", "^[b-a]$", "^[\\D]$", "^", "^a\\$"],
)
def test_pattern_that_no_grammar_can_enforce_is_refused_if_strict(pattern: str) -> None:
    with pytest.raises(InputError):
        pattern_grammar.converted(pattern)
    with pytest.raises(InputError, match=r"x\.pattern"):
        json_schema.gbnf({"type": "string", "pattern": pattern}, strict=True, where="x")
    assert json_schema.gbnf({"type": "string", "pattern": pattern}) == json_schema.gbnf({"type": "string"})


@pytest.mark.models
@pytest.mark.parametrize("value", ['12" disk', "a\nb", "C:\\bin", "🙂", "é", "\x01", {"b": [1, '"']}, 1.5, None])
def test_constant_is_written_as_json(backbone: LlamaBackbone, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert takes(backbone, {"const": value}, text)
    assert takes(backbone, {"enum": ["other", value]}, text)


@pytest.mark.models
@pytest.mark.parametrize("name", ['a"b', "a\nb", "a\\b", "größe", "🙂"])
def test_property_of_any_name_is_written_as_json(backbone: LlamaBackbone, name: str) -> None:
    schema = {"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]}
    assert takes(backbone, schema, json.dumps({name: 5}, ensure_ascii=False))


@pytest.mark.models
def test_list_of_items_of_older_drafts_is_a_tuple(backbone: LlamaBackbone) -> None:
    schema = {"type": "array", "items": [{"type": "integer"}, {"enum": ["x"]}]}
    assert takes(backbone, schema, '[5, "x"]')
    assert not takes(backbone, schema, '["x", 5]')

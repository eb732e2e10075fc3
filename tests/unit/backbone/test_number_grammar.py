"""Numbers within bounds as grammar rules, against Python's own comparison."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from glasses.backbone import number_grammar
from glasses.errors import InputError

KEYS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def pattern(rule: str) -> re.Pattern[str]:
    """A GBNF rule of digits as a regular expression."""
    return re.compile(rule.removesuffix(" space").replace(" ", "").replace('"."', r"\.").replace('"-"', "-"))


def fits(value: float, schema: dict[str, Any]) -> bool:
    return not (
        value < schema.get("minimum", value)
        or value > schema.get("maximum", value)
        or value <= schema.get("exclusiveMinimum", value - 1)
        or value >= schema.get("exclusiveMaximum", value + 1)
    )


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_rule_made_up_bounds_takes_what_fits_and_nothing_else(kind: str) -> None:
    made_up = random.Random(1)
    for _ in range(400):
        schema = {key: made_up.randint(-150, 150) * made_up.choice((1, 10)) for key in KEYS if made_up.random() < 0.5}
        try:
            rule = pattern(number_grammar.rule(number_grammar.bounds(schema, kind), kind))
        except InputError:
            assert not any(fits(value / 2, schema) for value in range(-4000, 4000) if kind == "number" or not value % 2)
            continue
        for _ in range(60):
            value = made_up.randint(-2000, 2000)
            assert bool(rule.fullmatch(str(value))) == fits(value, schema), (schema, value)
            fraction = made_up.randint(-20_000, 20_000) / 100 + 0.001
            if kind == "number":
                assert bool(rule.fullmatch(f"{fraction:.3f}")) == fits(fraction, schema), (schema, fraction)


@pytest.mark.parametrize("schema", [{"minimum": "1"}, {"maximum": 1e300}, {"minimum": 0.5}, {"minimum": True}])
def test_bounds_that_are_none_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        number_grammar.bounds(schema, "number")

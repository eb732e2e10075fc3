"""The tables of OpenAI's fields: complete, published and printed as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glasses.errors import InputError
from glasses.service.server import openapi
from glasses.service.server.openai import fields
from glasses.service.server.openai.reading import checked, object_of
from glasses.service.server.openai.sampling_fields import limit_of, sampling_of, seed_of, stop_of
from glasses.service.server.problems import FieldError

README = Path(fields.__file__).parents[2] / "README.md"


@pytest.mark.parametrize("route", fields.ROUTES)
def test_fields_are_published_with_what_becomes_of_them(route: str) -> None:
    document = openapi.document()
    if route == "its messages":
        schema = document["components"]["schemas"]["Message"]
    else:
        body = document["paths"][route.removeprefix("POST ")]["post"]["requestBody"]["content"]
        schema = next(iter(body.values()))["schema"]
    assert schema["x-fields"] == fields.published(fields.ROUTES[route])
    assert set(schema["properties"]) == {n for n, f in fields.ROUTES[route].items() if f.state == "honoured"}


def test_fields_are_printed_in_the_readme() -> None:
    assert fields.markdown() in README.read_text(), "python -m glasses.service.server.openai.fields prints the tables"


def test_checked_takes_null_and_what_asks_for_nothing() -> None:
    given = {"messages": [], "temperature": None, "store": False, "modalities": ["text"], "user": "u"}
    assert checked(given, fields.CHAT) == {"messages": []}


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"nonsense": 1}, "unknown_parameter", "nonsense"),
        ({"store": True}, "unsupported_parameter", "store"),
        ({"audio": {"voice": "x"}}, "unsupported_parameter", "audio"),
    ],
)
def test_checked_refuses_by_name(given: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(FieldError) as caught:
        checked(given, fields.CHAT)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(("given", "seed"), [({}, None), ({"seed": -1}, None), ({"seed": 5}, 5), ({"seed": -7}, 7)])
def test_seed_left_out_or_minus_one_is_random(given: dict[str, Any], seed: int | None) -> None:
    assert seed_of(given) == seed


def test_sampling_fields_become_parameters_of_a_generation() -> None:
    given = {"temperature": 1, "top_p": 0, "logit_bias": {"5": -100}, "presence_penalty": 0.5}
    assert sampling_of(given, 10) == {
        "temperature": 0.0,  # top_p 0 leaves the likeliest token only
        "top_p": 1.0,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.0,
        "logit_bias": {5: -100},
    }
    assert stop_of({"stop": "x"}) == stop_of({"stop": ["x"]}) == ("x",)
    assert (
        limit_of({"max_tokens": 9, "max_completion_tokens": 3.0}, "max_completion_tokens", "max_tokens", default=1) == 3
    )
    assert limit_of({"max_tokens": 2**40}, "max_tokens", default=1) == 1024


@pytest.mark.parametrize("wrong", [{"temperature": 2.1}, {"top_p": -0.1}, {"logit_bias": {"10": 1}}, {"logit_bias": 5}])
def test_sampling_fields_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as caught:
        sampling_of(wrong, 10)
    assert caught.value.param.startswith(next(iter(wrong)))


@pytest.mark.parametrize("wrong", [{"stop": ""}, {"stop": ["a"] * 17}, {"stop": [1]}, {"stop": {}}])
def test_stop_that_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        stop_of(wrong)


@pytest.mark.parametrize("body", [b"", b"[]", b"caf\xe9", b'{"a":' + b"[" * 100_000, b'{"a":"\xed\xa0\x80"}'])
def test_object_of_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        object_of(body)

"""The fields about sampling and length that several routes share."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from glasses.service.protocol.generation_params import MAX_TOKENS
from glasses.service.server.openai.reading import take, typed
from glasses.service.server.problems import FieldError

MAX_CHOICES = 8
MAX_STOPS = 16
DEFAULT_TOKENS = 128
DEFAULT_FORM_TOKENS = 512  # JSON that is cut off is worth nothing, so there is more room for it
_Tokens = Annotated[int, Meta(ge=1)]
_Penalty = Annotated[float, Meta(ge=-2, le=2)]
_Bias = Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)]
_Stop = Annotated[str, Meta(min_length=1, max_length=256)]


def sampling_of(values: dict[str, Any], n_vocab: int) -> dict[str, Any]:
    """The fields of GenerationParams for temperature, top_p, penalties and bias. Raises FieldError."""
    top_p = take(values, "top_p", Annotated[float, Meta(ge=0, le=1)], 1.0)
    # OpenAI's default temperature is 1, at which a backbone of this size rambles.
    temperature = take(values, "temperature", Annotated[float, Meta(ge=0, le=2)], 0.0)
    bias = {_token(name, n_vocab): value for name, value in take(values, "logit_bias", _Bias, {}).items()}
    return {
        "temperature": temperature if top_p > 0 else 0.0,
        "top_p": top_p or 1.0,
        "presence_penalty": take(values, "presence_penalty", _Penalty, 0.0),
        "frequency_penalty": take(values, "frequency_penalty", _Penalty, 0.0),
        "logit_bias": bias,
    }


def limit_of(values: dict[str, Any], *names: str, default: int) -> int:
    """The tokens of an answer: the first of these fields that is given, at most MAX_TOKENS. Raises FieldError."""
    given = [take(values, name, _Tokens, None) for name in names]
    return min(next((one for one in given if one is not None), default), MAX_TOKENS)


def seed_of(values: dict[str, Any]) -> int | None:
    """None for a random one, which is what -1 means to clients of llama.cpp. Raises FieldError."""
    seed = take(values, "seed", int, None)
    if seed is None or seed == -1:
        return None
    if not -(2**63) <= seed < 2**64:
        raise FieldError("seed", "a whole number of 64 bits")
    return abs(seed) % (2**53)


def stop_of(values: dict[str, Any]) -> tuple[str, ...]:
    """The texts that end an answer. Raises FieldError."""
    value = values.get("stop")
    if value is None:
        return ()
    if isinstance(value, str):
        return (typed(value, _Stop, "stop"),)
    return tuple(typed(value, Annotated[list[_Stop], Meta(max_length=MAX_STOPS)], "stop"))


def choices_of(values: dict[str, Any]) -> int:
    """How many answers. Raises FieldError."""
    return take(values, "n", Annotated[int, Meta(ge=1, le=MAX_CHOICES)], 1)


def stream_of(values: dict[str, Any]) -> bool:
    """Whether the answer is to come as a stream. Raises FieldError."""
    return take(values, "stream", bool, False)


def include_usage_of(values: dict[str, Any]) -> bool:
    """Whether a stream is to end with its usage. Raises FieldError."""
    options = take(values, "stream_options", dict, {})
    for name in options:
        if name not in ("include_usage", "include_obfuscation"):
            raise FieldError(f"stream_options.{name}"[:200], "there is no such field", code="unknown_parameter")
    return take(options, "include_usage", bool, False, "stream_options")


def _token(name: str, n_vocab: int) -> int:
    if not name.isdecimal() or not int(name) < n_vocab:
        raise FieldError("logit_bias", f"there is no token {name[:20]!r}; tokens are 0 to {n_vocab - 1}")
    return int(name)

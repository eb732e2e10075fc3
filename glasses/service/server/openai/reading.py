"""Reads the JSON of a request by a table of fields, and names what is wrong by its place."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from glasses.errors import InputError, Reason
from glasses.service.server.openai.fields import Field
from glasses.service.server.problems import FieldError

_T = TypeVar("_T")
_PATH = re.compile(r" - at `(key in )?\$(\.?)(.*)`$")


def object_of(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body. Raises InputError(BAD_INPUT)."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            Reason.BAD_INPUT,
            f"the body is not UTF-8, which JSON has to be: byte {error.start} is 0x{body[error.start]:02x}",
        ) from error
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(Reason.BAD_INPUT, f"the body is no JSON that can be used: {error}") from error
    if not isinstance(found, dict):
        raise InputError(Reason.BAD_INPUT, "the body is no JSON object")
    return found


def checked(values: dict[str, Any], table: dict[str, Field], where: str = "") -> dict[str, Any]:
    """The honoured fields of an object that are not null. Raises FieldError for one that is unknown or refused."""
    out = {}
    for name, value in values.items():
        param = f"{where}.{name}" if where else name
        if value is None:
            continue
        field = table.get(name)
        if field is None:
            raise FieldError(param[:200], "there is no such field", code="unknown_parameter")
        if field.state == "refused" and value not in field.passes:
            raise FieldError(param, f"not supported, {field.note}; it was {shown(value)}", code="unsupported_parameter")
        if field.state == "honoured":
            out[name] = value
    return out


def typed(value: Any, kind: type[_T] | Any, param: str) -> _T:
    """`value` as a type of msgspec's. Raises FieldError."""
    if isinstance(value, float) and value.is_integer() and _takes_int(kind):
        value = int(value)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        if found := _PATH.search(message):
            param, message = param + found[2] + found[3], message[: found.start()]
        raise FieldError(param, message.lower() + f", not {shown(value)}", code="invalid_type") from error


def take(values: dict[str, Any], name: str, kind: type[_T] | Any, default: _T | Any, where: str = "") -> _T | Any:
    """One field of an object; null is its default. Raises FieldError."""
    value = values.get(name)
    return default if value is None else typed(value, kind, f"{where}.{name}" if where else name)


def shown(value: Any) -> str:
    """A value, cut so that it can stand in a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _takes_int(kind: Any) -> bool:
    info = msgspec.inspect.type_info(kind)
    return isinstance(info, msgspec.inspect.IntType) or (
        isinstance(info, msgspec.inspect.UnionType) and any(isinstance(t, msgspec.inspect.IntType) for t in info.types)
    )

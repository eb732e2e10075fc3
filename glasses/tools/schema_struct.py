"""Arguments that come with a JSON schema from another process, as a struct that the rest of the tools understands."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from glasses.tools.kinds import Zone

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list[Any],
    "object": dict[str, Any],
    "null": None,
}


# What descriptions say of an argument that must be the name of a time zone.
_IANA = re.compile(r"\bIANA\b.*\btime ?zone|\btime ?zone.*\bIANA\b|\btz database\b", re.IGNORECASE)


def struct_of(name: str, schema: Mapping[str, Any]) -> type[msgspec.Struct]:
    """A struct with the properties of an object's schema as fields, in Python's types; its nested parts as they come.

    An argument that may be left out is None there unless the schema has a default. A property whose name is no Python
    identifier gets one as its field, and keeps its own on the wire. Raises ValueError for a schema of something else.
    """
    properties = schema.get("properties", {})
    if schema.get("type", "object") != "object" or not isinstance(properties, Mapping):
        raise ValueError("its arguments are no object")
    required = schema.get("required", ())
    fields: list[Any] = []
    names: dict[str, str] = {}
    for given, one in properties.items():
        field = _identifier(given, names)
        names[field] = given
        kind = _type_of(one if isinstance(one, Mapping) else {})
        if given in required:
            fields.append((field, kind))
        else:
            fields.append((field, kind | None if kind is not Any else Any, _default(one)))
    return msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True, rename=names)


def _identifier(given: str, taken: Mapping[str, str]) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in given) or "_"
    name = f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
    while name in taken:
        name += "_"
    return name


def _type_of(schema: Mapping[str, Any]) -> Any:
    choices = schema.get("enum")
    if isinstance(choices, list) and choices and all(isinstance(one, str) for one in choices):
        return Literal[tuple(choices)]
    kind = schema.get("type")
    if kind == "string" and _IANA.search(str(schema.get("description", ""))):
        return Zone
    if isinstance(kind, str) and kind in _TYPES:
        return _TYPES[kind]
    parts = [one for one in schema.get("anyOf", ()) if isinstance(one, Mapping) and one.get("type") != "null"]
    return _type_of(parts[0]) if len(parts) == 1 else Any


def _default(schema: Any) -> Any:
    default = schema.get("default") if isinstance(schema, Mapping) else None
    return default if isinstance(default, str | int | float | bool) else None

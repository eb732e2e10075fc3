"""A tool of an MCP server: it looks like every other, is checked by the server's own schema, and needs consent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
import msgspec
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry

from glasses.errors import InputError, Reason
from glasses.tools.mcp.config import ServerConfig
from glasses.tools.mcp.consent import Consents
from glasses.tools.printable import printable
from glasses.tools.schema_struct import struct_of
from glasses.tools.tool import Tool, ToolContext, misfit

MAX_SCHEMA = 32 * 1024  # characters of JSON
MAX_DESCRIPTION = 300  # characters; more than a sentence is not needed to choose a tool
MAX_NAME = 64
_NOT_SAID = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")  # control, invisible


@dataclass(frozen=True, slots=True)
class Described:
    """What a server says of one tool, not checked yet."""

    name: str
    description: str
    schema: Mapping[str, Any]
    is_destructive: bool = False
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTool(Tool):
    """`own_name` is the server's name of it. `perform` calls it with arguments that its schema allows."""

    own_name: str
    given_schema: Mapping[str, Any]
    server: ServerConfig
    consents: Consents
    perform: Callable[[str, Mapping[str, Any]], str]

    @property
    def schema(self) -> dict[str, Any]:
        """The server's own schema."""
        return dict(self.given_schema)

    @property
    def must_ask(self) -> bool:
        """Until the wearer has agreed to the server, and always where the server says that it destroys something."""
        return self.asks_first or not self.consents.is_given(self.server)

    def agree(self) -> None:
        """Keeps that the wearer has agreed to the server. Raises InputError(NO_SPACE)."""
        if not self.consents.is_given(self.server):
            self.consents.give(self.server)

    def confirmation(self, arguments: Mapping[str, Any]) -> str:
        """What the wearer is asked: the first time, about the server."""
        asked = printable(self.own_name).replace("_", " ").replace("-", " ")
        if not self.consents.is_given(self.server):
            return (
                f"{asked.capitalize()}: that is done by {self.server.name}, another program. May I use it from now on?"
            )
        told = ", ".join(str(value) for value in arguments.values() if isinstance(value, str | int | float))
        return f"{self.server.name}, {asked}{f' {told}' if told else ''}: shall I?"

    def checked(self, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """The arguments, checked by the server's schema. Raises InputError(BAD_INPUT)."""
        names = {one.name: one.encode_name for one in msgspec.structs.fields(self.arguments)}
        given = self._without_absent({names.get(name, name): value for name, value in arguments.items()})
        check(self, given)
        try:
            return msgspec.convert(given, self.arguments)
        except msgspec.ValidationError as error:
            raise misfit(self, error) from error

    def call_checked(self, context: ToolContext, checked: msgspec.Struct) -> str:
        """What the server said. Raises InputError: BAD_INPUT, REFUSED without consent, TIMEOUT, NO_NETWORK."""
        del context
        if not self.consents.is_given(self.server):
            raise InputError(Reason.REFUSED, f"You have not agreed to use {self.server.name} yet.")
        names = {one.name: one.encode_name for one in msgspec.structs.fields(self.arguments)}
        values = {names[name]: value for name, value in msgspec.structs.asdict(checked).items()}
        return self.perform(self.own_name, self._without_absent(values))

    def _without_absent(self, values: dict[str, Any]) -> dict[str, Any]:
        """Without optional arguments that were left out, which are None here."""
        required = self.given_schema.get("required", ())
        return {name: value for name, value in values.items() if value is not None or name in required}


def remote_tool(
    described: Described, server: ServerConfig, consents: Consents, perform: Callable[[str, Mapping[str, Any]], str]
) -> RemoteTool:
    """The tool. Raises ValueError, with what is wrong, for one that cannot be used."""
    schema = dict(described.schema)
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA:
            raise ValueError(f"its schema is over {MAX_SCHEMA} characters")
        validator_for(schema).check_schema(schema)
    except (jsonschema.SchemaError, RecursionError, TypeError) as error:
        raise ValueError(f"its schema is none: {str(error).splitlines()[0]}") from error
    name = f"{server.name.replace('-', '_')}_{snake(described.name)}"[:MAX_NAME].rstrip("_")

    def by_name(context: ToolContext, /, **arguments: Any) -> str:
        del context
        return perform(described.name, arguments)

    return RemoteTool(
        name,
        sentence(described.description) or printable(described.name),
        struct_of(name, schema),
        by_name,
        server.examples.get(described.name, ()),
        described.is_destructive,
        described.is_read_only,
        origin=f"MCP server {server.name}",
        own_name=described.name,
        given_schema=schema,
        server=server,
        consents=consents,
        perform=perform,
    )


def check(tool: RemoteTool, arguments: Mapping[str, Any]) -> None:
    """Raises InputError(BAD_INPUT) for arguments that the server's schema does not allow, however deep they are."""
    kind = validator_for(tool.given_schema)
    validator: Validator = kind(tool.given_schema, registry=Registry())  # fetches no schema from anywhere
    try:
        error = next(validator.iter_errors(dict(arguments)), None)
    except Exception as wrong:  # a schema that refers to what is not there, or to itself
        raise InputError(Reason.BAD_INPUT, f"tool {tool.name}: its schema cannot be used: {wrong!r}"[:300]) from wrong
    if error is not None:
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        said = error.message if len(error.message) < 200 else error.message[:200] + "..."
        raise InputError(Reason.BAD_INPUT, f"tool {tool.name}: {where.lstrip('.') + ': ' if where else ''}{said}")


def snake(name: str) -> str:
    """A name in small letters, digits and underscores."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", spaced.lower())).strip("_") or "tool"


def sentence(text: str) -> str:
    """The first sentence of a description from outside, in printable characters and of a length to be said."""
    plain = " ".join(_NOT_SAID.sub(" ", text[:10_000]).split())
    first = re.split(r"(?<=[.!?])\s", plain, maxsplit=1)[0]
    return first if len(first) <= MAX_DESCRIPTION else first[:MAX_DESCRIPTION].rsplit(" ", 1)[0] + "..."

"""What the configuration says of MCP: the servers whose tools are used, and what other agents may do here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
MAX_SERVERS = 16
TIMEOUT_S = 20.0  # of a call; a wearer has given up before
MAX_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One MCP server: a `command` that is started, or the `url` of one that runs.

    In `env` and `headers`, `$NAME` stands for a variable of this process, so that no key need be in the file. `tools`:
    only these are used (empty: all). `examples`: wordings that ask for a tool, which servers do not tell.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timeout_s: float = TIMEOUT_S

    @property
    def where(self) -> str:
        """The command or the address, for people; without keys."""
        return self.url.split("?")[0] if self.url else " ".join((self.command, *self.args))

    @property
    def fingerprint(self) -> str:
        """Changes with what is started or connected to: the wearer agreed to that, not to a name."""
        parts = (self.url, self.command, *self.args, *sorted(self.env))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class McpAllow:
    """What other agents may do through `glasses mcp`. Showing a text on the HUD is harmless, the rest is not."""

    look: bool = False
    listen: bool = False
    say: bool = False
    show: bool = True
    recall: bool = False


@dataclass(frozen=True, slots=True)
class McpConfig:
    """`servers` whose tools the assistant uses; `allow`: what other agents may do."""

    servers: tuple[ServerConfig, ...] = ()
    allow: McpAllow = field(default_factory=McpAllow)


def read_servers(value: Any) -> tuple[ServerConfig, ...]:
    """The table `[mcp.servers]` of the configuration. Raises ValueError that says what it must be."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be a table: [mcp.servers.NAME]")
    if len(value) > MAX_SERVERS:
        raise ValueError(f"must be at most {MAX_SERVERS} servers")
    return tuple(_server(name, table) for name, table in value.items())


def read_allow(value: Any) -> McpAllow:
    """The table `[mcp.allow]`. Raises ValueError that says what it must be."""
    if isinstance(value, McpAllow):
        return value
    known = [one.name for one in fields(McpAllow)]
    if not isinstance(value, dict) or any(name not in known or not isinstance(value[name], bool) for name in value):
        raise ValueError(f"must be a table of {', '.join(known)}, each true or false")
    return McpAllow(**value)


def _server(name: str, table: Any) -> ServerConfig:
    if not NAME.fullmatch(name):
        raise ValueError(f"server {name[:40]!r} must have a name of small letters, digits, - and _, at most 32")
    if not isinstance(table, dict):
        raise ValueError(f"server {name} must be a table: [mcp.servers.{name}]")
    known = [one.name for one in fields(ServerConfig)][1:]
    if unknown := [key for key in table if key not in known]:
        raise ValueError(f"server {name} must have no {unknown[0][:40]!r}: known are {', '.join(known)}")
    if bool(table.get("command")) == bool(table.get("url")):
        raise ValueError(f"server {name} must have a command or a url")
    read: dict[str, Any] = {}
    for key, given in table.items():
        try:
            read[key] = _READ[key](given)
        except ValueError as error:
            raise ValueError(f"server {name}: {key} must be {error}") from error
    if ("url" if "env" in read else "command" if "headers" in read else "name") in read:
        raise ValueError(f"server {name} must have env with a command, headers with a url")
    return ServerConfig(name, **read)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a text")
    return value


def _url(value: Any) -> str:
    if not re.match(r"https?://[^\s/]+", _text(value)):
        raise ValueError("an address: https://...")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and "\0" not in one for one in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _names(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) and "\0" not in one for one in value.values()):
        raise ValueError("a table of texts")
    return dict(value)


def _examples(value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError("a table of lists: a tool's name, and wordings that ask for it")
    return {name: _texts(wordings) for name, wordings in value.items()}


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.1 <= value <= MAX_TIMEOUT_S:
        raise ValueError(f"a number of seconds from 0.1 to {MAX_TIMEOUT_S:g}")
    return float(value)


_READ = {
    "command": _text,
    "args": _texts,
    "env": _names,
    "url": _url,
    "headers": _names,
    "tools": _texts,
    "examples": _examples,
    "timeout_s": _seconds,
}

"""Personas: how the assistant presents itself - its system prompt, name, greeting, voice, manner, tools, wake phrase.

A persona is a TOML file, `personas/NAME.toml` beside the user's config.toml:

    name = "Max"
    greeting = "Max is here."
    verbosity = "short"
    tools = ["time", "set_timer", "list_timers", "cancel_timer"]
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from glasses.assistant import config_file
from glasses.backbone.prompt import SYSTEM
from glasses.errors import InputError, Reason
from glasses.tools.tool import Tool

MAX_FILE_BYTES = 16 * 1024
MAX_TOKENS = {"short": 32, "normal": 64, "long": 160}  # of an answer
_NAMED = "You are {name}, a helpful AI assistant in a pair of glasses. Answer in one short sentence."
_Text = Annotated[str, Meta(max_length=200)]


class Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A persona. `prompt` is its system prompt, by default the one that the connectors were trained after, with `name`
    in it where there is one. `voice` is the manifest of a voice, None for the bundle's. `speed` is in percent.
    `tools` are the names of those it may call, None for all. `wake_word` is the name of one that was trained.
    """

    name: Annotated[str, Meta(max_length=60)] = ""
    prompt: Annotated[str, Meta(max_length=2000)] = ""
    greeting: _Text = ""
    voice: Annotated[str, Meta(max_length=100)] | None = None
    speed: Annotated[int, Meta(ge=50, le=200)] = 100
    verbosity: Literal["short", "normal", "long"] = "normal"
    tools: tuple[str, ...] | None = None
    wake_word: Annotated[str, Meta(max_length=60)] = ""

    @property
    def system(self) -> str:
        """The system prompt."""
        return self.prompt or (_NAMED.format(name=self.name) if self.name else SYSTEM)

    @property
    def max_tokens(self) -> int:
        """The length of an answer at most."""
        return MAX_TOKENS[self.verbosity]

    def allows(self, tool: Tool) -> bool:
        """Whether this persona may call the tool."""
        return self.tools is None or tool.name in self.tools

    def unknown_tools(self, tools: Iterable[Tool]) -> list[str]:
        """A sentence for each name in `tools` that no tool has; one of an MCP server may still come."""
        known = [one.name for one in tools]
        wrong = [name for name in self.tools or () if name not in known]
        near = {name: difflib.get_close_matches(name, known, n=1) for name in wrong}
        return [
            f"the persona's tool {name!r} is not there" + (f": did you mean {near[name][0]!r}?" if near[name] else "")
            for name in wrong
        ]


DEFAULT = Persona()


def folder() -> Path:
    """Where the user's personas lie."""
    return config_file.user_path().parent / "personas"


def names() -> list[str]:
    """Those that there are, by the names of their files."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str | None) -> Persona:
    """The persona of this name; None is the default one.

    Raises InputError with the file and the reason: NOT_FOUND, TOO_LARGE, CORRUPT (no TOML), BAD_INPUT.
    """
    if name is None:
        return DEFAULT
    path = folder() / f"{name}.toml"
    if "/" in name or name.startswith(".") or not path.is_file():
        known = ", ".join(names()) or "none yet"
        raise InputError(Reason.NOT_FOUND, f"no persona {name!r}: {path} is not there; there are: {known}")
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise InputError(Reason.TOO_LARGE, f"{path}: over {MAX_FILE_BYTES} bytes, a persona is a few lines")
    try:
        return msgspec.toml.decode(data, type=Persona)
    except msgspec.ValidationError as error:
        raise InputError(Reason.BAD_INPUT, f"{path}: {error}") from error
    except ValueError as error:
        raise InputError(Reason.CORRUPT, f"{path}: not a TOML file: {error}") from error

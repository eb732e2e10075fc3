"""What a request of any of the routes asks for, once it has been read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from glasses.backbone.prompt_format import Role
from glasses.service.protocol.generation_params import CallAnswer, JsonAnswer


@dataclass(frozen=True, slots=True)
class Media:
    """A picture or a sound of a message, not yet decoded. `where` is the place of its data in the request, which errors
    name, and `part` that of the part of the message, which notes name.
    """

    kind: Literal["picture", "sound"]
    data: bytes
    where: str
    part: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation, in the order of its parts."""

    role: Role
    parts: tuple[str | Media, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation, or with `prompt` text or token ids to continue, and how to answer it.

    `sampling` are fields of GenerationParams. `form` restricts the answer by grammar, `described` are the functions
    that the system prompt is to name. `seed` None is a random one.
    """

    turns: tuple[Turn, ...] = ()
    prompt: str | list[int] | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    form: JsonAnswer | CallAnswer | None = None
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    old_functions: bool = False  # answered as `function_call`, as clients of 2023 expect
    given_back: dict[str, Any] = field(default_factory=dict)  # fields of the request that the answer repeats

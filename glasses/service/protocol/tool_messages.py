"""The messages by which an app brings tools to worn glasses, and is called back."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from glasses.service.protocol.generation_params import Count, Message

MAX_TOOLS = 16  # of one connection
MAX_SAID = 2000  # characters of a result: two minutes of speech
ToolName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class ToolOffer(Message, frozen=True):
    """A tool. `description` is one sentence, `schema` the JSON schema of its arguments (an object), `examples` are
    wordings that ask for it. `asks_first`: the wearer confirms each call. `reads_only`: it changes nothing, so it may
    be called before the wearer has surely ended.
    """

    name: ToolName
    description: Annotated[str, Meta(min_length=1, max_length=300)]
    schema: dict[str, Any] = field(default_factory=dict)
    examples: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=64)] = field(default_factory=list)
    asks_first: bool = False
    reads_only: bool = False


class OfferTools(Message, tag="offer_tools", frozen=True):
    """Offers tools to the wearer, all or none, for as long as this connection lasts. A call comes as a ToolCall."""

    rid: Count
    tools: Annotated[list[ToolOffer], Meta(min_length=1, max_length=MAX_TOOLS)]


class ToolResult(Message, tag="tool_result", frozen=True):
    """Answers the ToolCall of this number with a sentence for the wearer; `failed`: it says why it was not done."""

    rid: Count
    call: Count
    said: Annotated[str, Meta(max_length=MAX_SAID)]
    failed: bool = False


class ToolCall(Message, tag="tool_call", frozen=True):
    """The wearer asked for a tool that this connection offered. An event: it answers no request."""

    call: Count
    name: ToolName
    arguments: dict[str, Any]

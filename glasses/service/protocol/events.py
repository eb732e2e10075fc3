"""The events that a service sends, and requests and events as one JSON schema."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from glasses.service.protocol.messages import Count, Index, Message, Name, Request, Session
from glasses.service.protocol.tool_messages import ToolCall


class Opened(Message, tag="opened", frozen=True):
    """Answers Open, Attach and Branch; the context has `n_past` rows, and `seq` requests were received."""

    rid: Count
    session: Session
    n_past: Count
    seq: Count = 0


class Done(Message, tag="done", frozen=True):
    """Answers every other request on a session, when it is done. After a Feed of a chat, `question` is what will be
    put where its pictures and sounds came with no question.
    """

    rid: Count
    session: str
    n_past: Count
    seq: Count = 0
    question: str = ""


class Acted(Message, tag="acted", frozen=True):
    """Answers Act: which tool was called, "" where the turn asks for none, and what it says of that to the wearer."""

    rid: Count
    session: Session
    n_past: Count
    seq: Count
    tool: str = ""
    said: str = ""


class TokenEvent(Message, tag="piece", frozen=True):
    """One generated token; `array` is the hidden state (1, n_embd) that predicted it. The last one says in `end` why
    the generation ended.
    """

    session: str
    generation: Count
    index: Count
    token: Count
    text: str
    logprob: float
    top: list[tuple[int, float]] = msgspec.field(default_factory=list)
    array: Index | None = None
    end: Literal["eos", "call", "length", "context_full", "cancelled", "deadline", "failed"] | None = None


class Gradients(Message, tag="gradients", frozen=True):
    """Answers the Gradient API; the arrays are hidden states or gradients, in the order of the request."""

    rid: Count
    loss: float | None = None
    n_targets: Count = 0


class TokenInfo(Message, frozen=True):
    """One added token; `version` counts how often its rows were trained."""

    name: Name
    id: Count
    meaning: str
    version: Count
    end: str | None = None
    begin: str | None = None
    decoder: str = ""


class TokenList(Message, tag="token_list", frozen=True):
    """Answers the Tokenizer API with the added tokens as they are now."""

    rid: Count
    tokens: list[TokenInfo]
    trained_on: Count = 0
    accuracy: float | None = None  # on the training examples


class Tokenized(Message, tag="tokenized", frozen=True):
    """Answers Tokenize; the array holds the input embeddings (n, n_embd) if they were asked for."""

    rid: Count
    ids: list[int]


class Failed(Message, tag="failed", frozen=True):
    """Refuses a request; `reason` is a glasses.errors.Reason."""

    rid: Count | None
    reason: str
    message: str
    seq: Count = 0


class Description(Message, tag="description", frozen=True):
    """Describes the service: its backbone, what its backend can do, its limits, and every message as JSON schema."""

    rid: Count
    schema_id: str
    version: str
    bundle: str
    backend: str
    backbone: str
    n_embd: Count
    n_vocab: Count
    n_ctx: Count
    can: list[str]
    spaces: list[str]
    caps: dict[str, int]
    schema: dict[str, Any] = msgspec.field(default_factory=dict)


Event = Opened | Done | Acted | TokenEvent | Gradients | TokenList | Tokenized | Failed | Description | ToolCall


def json_schema() -> dict[str, Any]:
    """Every request and event as JSON schema."""
    (request, event), components = msgspec.json.schema_components([Request, Event], ref_template="#/$defs/{name}")
    return {"request": request, "event": event, "$defs": components}


def schema_id() -> str:
    """First 16 hex digits of the sha256 of the schema without its descriptions: two ends with the same id understand
    each other.
    """
    schema = _without_descriptions(json_schema())
    return hashlib.sha256(msgspec.json.encode(schema, order="deterministic")).hexdigest()[:16]


def _without_descriptions(schema: Any) -> Any:
    if isinstance(schema, dict):
        kept = (item for item in schema.items() if item[0] != "description" or not isinstance(item[1], str))
        return {key: _without_descriptions(value) for key, value in kept}
    return [_without_descriptions(item) for item in schema] if isinstance(schema, list) else schema

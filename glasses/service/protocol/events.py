"""What a service says to its clients, and both directions as one JSON schema. Knows no network and no model."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from glasses.service.protocol.messages import Count, Index, Message, Name, Request, Session


class Opened(Message, tag="opened", frozen=True):
    """Answers Open and Branch; `n_past` rows are in the context, `seq` requests were done."""

    rid: Count
    session: Session
    n_past: Count
    seq: Count = 0


class Done(Message, tag="done", frozen=True):
    """Answers every other request on a session that worked."""

    rid: Count
    session: str
    n_past: Count
    seq: Count = 0


class TokenEvent(Message, tag="piece", frozen=True):
    """One generated token; `array` is its latent (1, n_embd). `end` is set on the last: why it ended."""

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
    """Answers the Gradient API; arrays are hidden states or gradients in the order asked for."""

    rid: Count
    loss: float | None = None
    n_targets: Count = 0


class TokenInfo(Message, frozen=True):
    """One added token as everybody may see it; `version` counts how often its rows were changed."""

    name: Name
    id: Count
    meaning: str
    version: Count
    end: str | None = None
    begin: str | None = None
    decoder: str = ""


class TokenList(Message, tag="token_list", frozen=True):
    """Answers the Tokenizer API."""

    rid: Count
    tokens: list[TokenInfo]
    trained_on: Count = 0
    accuracy: float | None = None  # on the training examples


class Tokenized(Message, tag="tokenized", frozen=True):
    """Answers Tokenize; the array holds the rows (n, n_embd) where asked for."""

    rid: Count
    ids: list[int]


class Failed(Message, tag="failed", frozen=True):
    """A request was refused; `reason` is a glasses.errors.Reason."""

    rid: Count | None
    reason: str
    message: str
    seq: Count = 0


class Description(Message, tag="description", frozen=True):
    """What this service is: its backbone, what its backend can do, its limits, and every message as JSON schema."""

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


Event = Opened | Done | TokenEvent | Gradients | TokenList | Tokenized | Failed | Description


def json_schema() -> dict[str, Any]:
    """Every request and event as JSON schema."""
    (request, event), components = msgspec.json.schema_components([Request, Event], ref_template="#/$defs/{name}")
    return {"request": request, "event": event, "$defs": components}


def schema_id() -> str:
    """First 16 hex digits of the sha256 of the schema: two ends with the same one understand each other."""
    return hashlib.sha256(msgspec.json.encode(json_schema(), order="deterministic")).hexdigest()[:16]

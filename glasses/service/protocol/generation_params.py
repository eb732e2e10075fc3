"""How to generate: the parameters of a generation, and the forms that an answer may be asked to have."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

MAX_TOKENS = 1024  # one generation
MAX_TOP_K = 32
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Message(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every message: immutable, and refused if it has a field that is not declared."""


class JsonAnswer(Message, tag="json", frozen=True):
    """The answer is JSON that fits `schema`, by grammar. With `strict` a keyword that cannot be enforced is refused."""

    schema: dict[str, Any] = field(default_factory=lambda: {"type": "object"})
    strict: bool = False


class Function(Message, frozen=True):
    """A function that an answer may call; `parameters` is the JSON schema of its arguments."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_.-]{1,64}$")]
    description: Annotated[str, Meta(max_length=8192)] = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool = False


class CallAnswer(Message, tag="calls", frozen=True):
    """The answer is one call of `functions`, with `parallel` several, by grammar; unless `required`, text may come
    before them or instead. `glasses.backbone.call_grammar` says how a call is written.
    """

    functions: Annotated[list[Function], Meta(min_length=1, max_length=64)]
    required: bool = False
    parallel: bool = False


class GenerationParams(Message, frozen=True):
    """How to generate. `generation` is the client's number for it, higher than every earlier one of the session.

    `presence_penalty`, `frequency_penalty` and `logit_bias` (by token id) are OpenAI's. `form` restricts the answer to
    a grammar; added tokens are then not chosen.
    """

    generation: Count
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] = 64
    top_k: Annotated[int, Meta(ge=0, le=MAX_TOP_K)] = 0
    latents: bool = False
    temperature: Annotated[float, Meta(ge=0, le=10)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    repetition_penalty: Annotated[float, Meta(ge=1, le=10)] = 1.0
    seed: Count = 0
    said: Annotated[str, Meta(max_length=8192)] = ""  # text that the answer begins with already; the tokens continue it
    budget_ms: Annotated[int, Meta(ge=1, le=600_000)] | None = None  # the time that is left for the answer
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    logit_bias: Annotated[dict[int, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] = field(
        default_factory=dict
    )
    form: JsonAnswer | CallAnswer | None = None

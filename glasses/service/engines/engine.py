"""The backend of a service: `Engine` is what every backend does, the other protocols are what only some do.

An engine belongs to the thread that opened it (`server.worker.Worker`'s). Everything but `abort`, `clear_abort`,
`gradient` and `stream` is called on that thread. Inputs are `glasses.backbone.inputs.ModelInput`s: token ids, or
embeddings float32 (n, n_embd).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from glasses.backbone.inputs import ModelInput
from glasses.runtime.bundle import LoadedBundle
from glasses.service.protocol.events import Gradients
from glasses.service.protocol.messages import Example, GenerationParams, GradientRequest
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import Float32Array

# "hidden" gives hidden states out, "tokens" trains the classifier rows of added tokens, "token rows" their input rows.
Ability = Literal["latent", "hidden", "tokens", "token rows", "gradient"]
_T = TypeVar("_T")


@dataclass(slots=True, weakref_slot=True, eq=False)
class Context:
    """One conversation in an engine: the number of its rows, and whatever the engine keeps for them."""

    n_past: int = 0
    state: Any = None


class Output(NamedTuple):
    """After the last fed row: logits float32 (n_vocab,), and its hidden state float32 (n_embd,) if asked for."""

    logits: Float32Array
    hidden: Float32Array | None


class Engine(Protocol):
    """A backbone with any number of contexts.

    `loaded` is its bundle, `chat` the context after the system prompt, `can` what the service's description declares.
    `feed`, `truncate` and `copy` raise the errors of `LlamaBackbone.feed` and then leave the context as it was.
    """

    loaded: LoadedBundle
    chat: Context
    can: tuple[Ability, ...]

    def feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
        """Appends inputs to the context."""
        ...

    def truncate(self, context: Context, n_past: int) -> None:
        """Removes the rows from `n_past` on."""
        ...

    def copy(self, context: Context) -> Context:
        """Returns a second context with the same rows."""
        ...

    def abort(self) -> None:
        """Stops a running `feed` soon, from any thread; it raises ModelError(ABORTED)."""
        ...

    def clear_abort(self) -> None:
        """Forgets an abort that came too late to stop anything."""
        ...

    def close(self) -> None:
        """Frees everything."""
        ...


@runtime_checkable
class ReadsValues(Protocol):
    """An engine whose KV cache can be read."""

    def values(self, context: Context) -> Float32Array | None:
        """The value vectors, in every layer, of two rows: the last one of the user's words and the last one of the
        prompt. float32 (n_values,); None for a model whose cache cannot be read.
        """
        ...


@runtime_checkable
class TrainsTokenRows(Protocol):
    """An engine that trains the input rows of added tokens (the ability "token rows")."""

    def train_rows(self, added: AddedTokens, examples: Sequence[Example]) -> AddedTokens:
        """Returns the table with new input rows for the begin tokens whose examples have payloads."""
        ...


class Run(Protocol):
    """Runs a function on the engine's thread, in turn with other work. Raises what the function raises."""

    def __call__(self, function: Callable[[], _T], /) -> Awaitable[_T]: ...


@runtime_checkable
class GivesGradients(Protocol):
    """An engine with a backward pass (the ability "gradient")."""

    async def gradient(
        self, run: Run, added: AddedTokens, request: GradientRequest, arrays: list[Float32Array]
    ) -> tuple[Gradients, list[Float32Array]]:
        """Answers a request of the Gradient API; its work is done through `run`."""
        ...


class StreamedToken(NamedTuple):
    """A token as an engine made it itself; `end` as in events.TokenEvent, None before the last."""

    token: int
    text: str
    logprob: float
    top: list[tuple[int, float]]
    end: Literal["eos", "length", "failed"] | None


@runtime_checkable
class StreamsTokens(Protocol):
    """An engine that chooses the tokens itself; its `feed` gives no logits."""

    def stream(self, context: Context, params: GenerationParams) -> AsyncGenerator[StreamedToken, None]:
        """Generates after the context, on the event loop."""
        ...

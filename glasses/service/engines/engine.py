"""The backend of a service: `Engine` is what every backend does, the other protocols are what only some do.

An engine belongs to the thread that opened it (`server.worker.Worker`'s). Everything but `abort`, `clear_abort`,
`gradient` and `stream` is called on that thread. Inputs are `glasses.backbone.inputs.ModelInput`s: token ids, or
embeddings float32 (n, n_embd).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from glasses.backbone.inputs import ModelInput, check
from glasses.errors import ModelError, Reason
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

    def slices(self, inputs: Sequence[ModelInput]) -> list[list[ModelInput]]:
        """Cuts inputs (at least one) into slices, each of which takes `feed` a fraction of a second. Fed one after the
        other they give what all of them at once would give.
        """
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
class LendsBackbone(Protocol):
    """An engine that has its contexts in the KV cache of a `LlamaBackbone`, the bundle's."""

    def lend(self, context: Context, look: Callable[[], _T]) -> _T:
        """What `look` finds, which works with the backbone while the context is in its cache. What it feeds is gone
        afterwards. It may be called again, where it was aborted. Raises what `look` raises.
        """
        ...


@runtime_checkable
class GivesWay(Protocol):
    """An engine whose backbone and processor are somebody's who goes first."""

    def wait(self) -> None:
        """Returns once it may work. Raises ModelError(ABORTED) after `abort`."""
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


def cut(inputs: Sequence[ModelInput], rows: int, batch: int) -> list[list[ModelInput]]:
    """Slices of about `rows` rows: short inputs together; a long one in even parts of at least `rows` rows, which do
    not cross a multiple of `batch`. Inputs of under 2 * rows rows stay whole.
    """
    out: list[list[ModelInput]] = [[]]
    n_rows = 0
    for item in inputs:
        for start in range(0, max(1, len(item)), batch):
            whole = item[start : start + batch]
            n_parts = max(1, len(whole) // rows)
            bounds = [i * len(whole) // n_parts for i in range(n_parts + 1)]
            for part in (whole[a:b] for a, b in pairwise(bounds)):
                if n_rows and n_rows + len(part) > rows:
                    out.append([])
                    n_rows = 0
                out[-1].append(part)
                n_rows += len(part)
    return out


def check_all(inputs: Sequence[ModelInput], backbone: Any, n_past: int) -> None:
    """Raises ModelError: BAD_INPUT as `backbone.inputs.check`, CONTEXT_FULL, before anything is fed after `n_past`."""
    sizes = {"n_vocab": backbone.n_vocab, "n_embd": backbone.n_embd}
    n_rows = sum(len(check(item, f"part {i}", **sizes)) for i, item in enumerate(inputs))
    if n_past + n_rows > backbone.n_ctx:
        raise ModelError(
            Reason.CONTEXT_FULL,
            f"{n_rows} more rows do not fit: {n_past} of {backbone.n_ctx} are taken; roll back or open with more",
        )

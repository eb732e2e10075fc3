"""What a backend must do: keep contexts and run rows through the backbone. Knows no session, message or network.

An engine belongs to one thread, that of `worker.Worker`. What is fed are `glasses.backbone.inputs.ModelInput`s: token
ids or latents float32 (n, n_embd).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from glasses.backbone.inputs import ModelInput
from glasses.backbone.kv_values import values_of
from glasses.backbone.state_file import SavedState
from glasses.errors import ModelError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.types import Float32Array

# `hidden` gives latents out, `tokens` trains the classifier rows of added tokens, `token rows` their input rows too.
Ability = Literal["latent", "hidden", "tokens", "token rows", "gradient"]


@dataclass(slots=True, weakref_slot=True, eq=False)
class Context:
    """One place in a conversation: `n_past` rows, and whatever the engine keeps for them."""

    n_past: int = 0
    state: Any = None


class Output(NamedTuple):
    """After the last fed row: logits float32 (n_vocab,), and its hidden state float32 (n_embd,) where asked for."""

    logits: Float32Array
    hidden: Float32Array | None


class Engine(Protocol):
    """Errors of `feed`, `truncate` and `copy` leave the context as it was, and are those of `LlamaBackbone.feed`.

    `chat` is the context after the system prompt, `can` what the description declares. `gradient` is an async function
    (service, key, request, arrays) -> (event, arrays) or None, `train_rows` (AddedTokens, examples) -> AddedTokens or
    None; `stream` (context, how) -> vllm_gateway.Streamed pieces where `feed` gives no logits to choose from, or None.
    Everything but `stream`, `abort` and `clear_abort` is called on the worker's thread.
    """

    parts: LoadedBundle
    chat: Context
    can: tuple[Ability, ...]
    gradient: Any
    train_rows: Any
    stream: Any

    def feed(self, context: Context, parts: Sequence[ModelInput], *, hidden: bool) -> Output:
        """Appends rows."""
        ...

    def values(self, context: Context) -> Float32Array | None:
        """What the end of the wearer's words and the end of the prompt left in the cache: the value vectors of these
        two rows in every layer, float32 (n_values,). None where they cannot be read.
        """
        ...

    def truncate(self, context: Context, n_past: int) -> None:
        """Forgets rows from `n_past` on."""
        ...

    def copy(self, context: Context) -> Context:
        """A second context with the same rows."""
        ...

    def abort(self) -> None:
        """Ends a running `feed` as soon as may be; it raises ModelError(ABORTED)."""
        ...

    def clear_abort(self) -> None:
        """Forgets an abort that came too late to end anything."""
        ...

    def close(self) -> None:
        """Frees everything."""
        ...


class LlamaEngine:
    """Many contexts on llama.cpp's one cache: the one in use lies in it, the others beside it as saved states.

    A switch copies some 23 KB a row (SmolLM2-135M), about as long as one token takes at a hundred rows.
    """

    can: tuple[Ability, ...] = ("latent", "hidden", "tokens")
    gradient: Any = None  # llama.cpp has no backward pass for these two
    train_rows: Any = None
    stream: Any = None

    def __init__(self, parts: LoadedBundle) -> None:
        self.parts = parts
        self._backbone = parts.backbone
        parts.backbone.rollback(parts.n_prefix)
        self.chat = Context(parts.n_prefix, parts.backbone.snapshot())
        self._resident: weakref.ref[Context] | None = None
        self._read = (len(parts.backbone.tokenize(parts.backbone.prompt_format.suffix)), 1)

    def feed(self, context: Context, parts: Sequence[ModelInput], *, hidden: bool) -> Output:
        self._enter(context)
        try:
            states = self._backbone.feed(parts, hidden="last" if hidden else "none")
        finally:
            context.n_past = self._backbone.n_past
        return Output(self._backbone.logits(), None if states is None else states[0])

    def values(self, context: Context) -> Float32Array | None:
        self._enter(context)
        try:
            return values_of(self._backbone.snapshot().kv, context.n_past, self._read)
        except ModelError as error:
            if error.reason is not Reason.UNSUPPORTED:
                raise
            return None

    def truncate(self, context: Context, n_past: int) -> None:
        self._enter(context)
        self._backbone.rollback(n_past)
        context.n_past = n_past

    def copy(self, context: Context) -> Context:
        if self._is_resident(context):
            context.state = self._backbone.snapshot()
        return Context(context.n_past, context.state)

    def abort(self) -> None:
        """Ends a running `feed`, from any thread."""
        self._backbone.abort()

    def clear_abort(self) -> None:
        """Forgets an abort that came too late to end anything."""
        self._backbone.clear_abort()

    def close(self) -> None:
        self.parts.close()

    def _is_resident(self, context: Context) -> bool:
        return self._resident is not None and self._resident() is context

    def _enter(self, context: Context) -> None:
        if self._is_resident(context):
            return
        left = self._resident() if self._resident else None
        if left is not None:  # else nobody will come back to it
            left.state = self._backbone.snapshot()
        self._resident = None
        saved: SavedState | None = context.state
        if saved is None:
            self._backbone.rollback(0)
        else:
            self._backbone.restore(saved)
        self._resident, context.state = weakref.ref(context), None

"""The backend llama.cpp: the runtime of the device itself."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from glasses.backbone.inputs import ModelInput
from glasses.backbone.kv_values import values_of
from glasses.backbone.state_file import SavedState
from glasses.errors import ModelError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.engine import Ability, Context, Output, cut
from glasses.types import Float32Array

# Some 0.3 s on a slow core. llama.cpp's attention works in tiles from 64 rows on; below, row by row, at three times the
# time and with other last bits. So a prompt that is cut gives bit for bit what it gives uncut (measured with
# SmolLM2-135M: no difference at 130 to 1,900 rows), and one row may still be split off to read its hidden state.
SLICE_ROWS = 72


class LlamaEngine:
    """Many contexts on the one KV cache of llama.cpp: the context in use is in it, the others are saved states.

    A switch copies some 23 KB a row (SmolLM2-135M), which at a hundred rows takes about as long as one token.
    """

    can: tuple[Ability, ...] = ("latent", "hidden", "tokens")

    def __init__(self, loaded: LoadedBundle) -> None:
        self.loaded = loaded
        self._backbone = loaded.backbone
        self._backbone.rollback(loaded.n_prefix)
        self.chat = Context(loaded.n_prefix, self._backbone.snapshot())
        self._resident: weakref.ref[Context] | None = None
        self._read = (len(self._backbone.tokenize(self._backbone.prompt_format.suffix)), 1)

    def feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
        """See `Engine.feed`."""
        self._enter(context)
        try:
            states = self._backbone.feed(inputs, hidden="last" if hidden else "none")
        finally:
            context.n_past = self._backbone.n_past
        return Output(self._backbone.logits(), None if states is None else states[0])

    def slices(self, inputs: Sequence[ModelInput]) -> list[list[ModelInput]]:
        """See `Engine.slices`."""
        return cut(inputs, SLICE_ROWS, self._backbone.n_batch)

    def values(self, context: Context) -> Float32Array | None:
        """See `ReadsValues.values`."""
        self._enter(context)
        try:
            return values_of(self._backbone.snapshot().kv, context.n_past, self._read)
        except ModelError as error:
            if error.reason is not Reason.UNSUPPORTED:
                raise
            return None

    def truncate(self, context: Context, n_past: int) -> None:
        """See `Engine.truncate`."""
        self._enter(context)
        self._backbone.rollback(n_past)
        context.n_past = n_past

    def copy(self, context: Context) -> Context:
        """See `Engine.copy`."""
        if self._is_resident(context):
            context.state = self._backbone.snapshot()
        return Context(context.n_past, context.state)

    def abort(self) -> None:
        """See `Engine.abort`."""
        self._backbone.abort()

    def clear_abort(self) -> None:
        """See `Engine.clear_abort`."""
        self._backbone.clear_abort()

    def close(self) -> None:
        """See `Engine.close`."""
        self.loaded.close()

    def _is_resident(self, context: Context) -> bool:
        return self._resident is not None and self._resident() is context

    def _enter(self, context: Context) -> None:
        """Brings the context into the cache, and saves the one that was in it."""
        if self._is_resident(context):
            return
        left = self._resident() if self._resident else None
        if left is not None:  # else its session has ended
            left.state = self._backbone.snapshot()
        self._resident = None
        saved: SavedState | None = context.state
        if saved is None:
            self._backbone.rollback(0)
        else:
            self._backbone.restore(saved)
        self._resident, context.state = weakref.ref(context), None

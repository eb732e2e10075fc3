"""The backend llama.cpp: the runtime of the device itself."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import TypeVar

from glasses.backbone.handover import Handover
from glasses.backbone.inputs import ModelInput
from glasses.backbone.kv_values import values_of
from glasses.backbone.prompt import SYSTEM
from glasses.backbone.state_file import SavedState
from glasses.errors import ModelError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.engine import Ability, Context, Output, cut
from glasses.types import Float32Array

log = logging.getLogger(__name__)
# Some 0.3 s on a slow core. llama.cpp's attention works in tiles from 64 rows on; below, row by row, at three times the
# time and with other last bits. So a prompt that is cut gives bit for bit what it gives uncut (measured with
# SmolLM2-135M: no difference at 130 to 1,900 rows), and one row may still be split off to read its hidden state.
SLICE_ROWS = 72
_T = TypeVar("_T")


class LlamaEngine:
    """Many contexts on the one KV cache of llama.cpp: the context in use is in it, the others are saved states.

    A switch copies some 23 KB a row (SmolLM2-135M), which at a hundred rows takes about as long as one token. With a
    `handover` the backbone is a wearer's, who goes first: it stays open at `close`, and all contexts together have
    `max_rows` rows at the most.
    """

    can: tuple[Ability, ...] = ("latent", "hidden", "tokens")

    def __init__(self, loaded: LoadedBundle, handover: Handover | None = None, *, max_rows: int | None = None) -> None:
        self.loaded = loaded
        self._backbone, self._handover, self._max_rows = loaded.backbone, handover, max_rows
        self._resident: weakref.ref[Context] | None = None
        self._contexts: weakref.WeakSet[Context] = weakref.WeakSet()  # that were fed
        self.chat = self._run(self._begin)
        self._read = (len(self._backbone.tokenize(self._backbone.prompt_format.suffix)), 1)

    def feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
        """See `Engine.feed`. Raises ModelError(CONTEXT_FULL) for more than `max_rows`, too."""
        self._contexts.add(context)
        n_rows = sum(len(item) for item in inputs)
        if self._max_rows and sum(one.n_past for one in self._contexts) + n_rows > self._max_rows:
            raise ModelError(
                Reason.CONTEXT_FULL,
                f"{n_rows} more rows do not fit: all apps together have {self._max_rows}; end sessions, or ask later",
            )
        return self._run(lambda: self._feed(context, inputs, hidden=hidden))

    def _feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
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

        def read() -> Float32Array:
            self._enter(context)
            return values_of(self._backbone.snapshot().kv, context.n_past, self._read)

        try:
            return self._run(read)
        except ModelError as error:
            if error.reason is not Reason.UNSUPPORTED:
                raise
            return None

    def lend(self, context: Context, look: Callable[[], _T]) -> _T:
        """See `LendsBackbone.lend`."""

        def lent() -> _T:
            self._enter(context)
            with self._backbone.aside():
                return look()

        return self._run(lent)

    def truncate(self, context: Context, n_past: int) -> None:
        """See `Engine.truncate`."""

        def truncate() -> None:
            self._enter(context)
            self._backbone.rollback(n_past)
            context.n_past = n_past

        self._run(truncate)

    def copy(self, context: Context) -> Context:
        """See `Engine.copy`."""

        def copy() -> Context:
            if self._is_resident(context):
                context.state = self._backbone.snapshot()
            return Context(context.n_past, context.state)

        return self._run(copy)

    def abort(self) -> None:
        """See `Engine.abort`."""
        if self._handover is None:
            self._backbone.abort()
        else:
            self._handover.abort_guest()

    def clear_abort(self) -> None:
        """See `Engine.clear_abort`."""
        if self._handover is None:
            self._backbone.clear_abort()
        else:
            self._handover.clear_guest_abort()

    def wait(self) -> None:
        """See `GivesWay.wait`."""
        if self._handover is not None:
            self._handover.wait()

    def close(self) -> None:
        """See `Engine.close`."""
        if self._handover is None:
            self.loaded.close()

    def _run(self, function: Callable[[], _T]) -> _T:
        """Calls what uses the cache; where that is a wearer's as well, once it is free."""
        return function() if self._handover is None else self._handover.as_guest(function, self._leave)

    def _begin(self) -> Context:
        """The context after the system prompt, which is what the cache begins with, if it is not a wearer's: that may
        begin with the prompt of a persona, which apps are not answered by.
        """
        if self._handover is None:
            self._backbone.rollback(self.loaded.n_prefix)
        else:
            self._backbone.rollback(0)
            self._backbone.feed([self._backbone.tokenize(self._backbone.prompt_format.prefix(SYSTEM))])
        return Context(self._backbone.n_past, self._backbone.snapshot())

    def _leave(self) -> None:
        """Saves the context in the cache: the wearer's rows come back into it."""
        left = self._resident() if self._resident else None
        self._resident = None
        if left is not None:
            try:
                left.state = self._backbone.snapshot()
            except (ModelError, MemoryError) as error:  # the wearer does not wait for that, and `_enter` says it
                log.error("an app's context of %d rows is lost: %r", left.n_past, error)

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
        if saved is None and context.n_past:
            raise ModelError(Reason.INTERNAL, "this context could not be kept: there was no memory; open another")
        if saved is None:
            self._backbone.rollback(0)
        else:
            self._backbone.restore(saved)
        self._resident, context.state = weakref.ref(context), None

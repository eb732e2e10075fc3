"""The KV cache over turns: the system prompt, what was heard of an interrupted reply, the rows of the newest draft.

A draft carries what the user says; the suffix of the prompt format, after which the answer begins, is added here. It
belongs to the thread that opened the backbone.
"""

from __future__ import annotations

import numpy as np

from glasses.assistant.reply import same_rows
from glasses.events import Draft
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import suffix_of
from glasses.types import Float32Array


class KvContext:
    """`prefill` feeds drafts as they come; `keep_heard` keeps the part of an interrupted reply that was heard."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded = loaded
        self.base = loaded.n_prefix  # rows before the turn
        self._suffix = loaded.backbone.token_rows(suffix_of(loaded.backbone))
        self._fed: Float32Array = np.zeros((0, loaded.backbone.n_embd), np.float32)  # of the turn, in the cache
        self._n_user = 0  # of these, before the suffix

    @property
    def user_rows(self) -> Float32Array:
        """The last draft's rows as they are in the cache, float32 (n, n_embd): those fed, not those wanted."""
        return self._fed[: self._n_user]

    def prefill(self, draft: Draft) -> int:
        """Feeds what of the draft differs from the cache, and the suffix where the draft may be complete.

        Returns how many of the draft's rows were in the cache already. Raises ModelError: CONTEXT_FULL, ABORTED.
        """
        if not draft.follows_interruption and self.base != self._loaded.n_prefix:
            self._begin_at(self._loaded.n_prefix)
        rows = np.concatenate([draft.rows, self._suffix]) if draft.may_be_complete else draft.rows
        # An answer needs the logits of the last row.
        keep = min(same_rows(self._fed, rows), len(rows) - draft.may_be_complete)
        self._fed, self._n_user = self._fed[:keep], min(keep, len(draft.rows))
        self._loaded.backbone.rollback(self.base + keep)
        if keep < len(rows):
            self._loaded.backbone.feed([rows[keep:]])
        # A kept row stays what was fed for an earlier draft. Were it replaced by the draft's, drafts that each differ
        # a little from the one before could move far away from the cache without a row being fed again.
        self._fed, self._n_user = np.concatenate([self._fed, rows[keep:]]), len(draft.rows)
        return min(keep, len(draft.rows))

    def forget(self) -> None:
        """Leaves the system prompt alone in the cache."""
        self._loaded.backbone.rollback(self._loaded.n_prefix)
        self._begin_at(self._loaded.n_prefix)

    def keep_heard(self, n_tokens: int) -> None:
        """Rolls the cache back to the last of the `n_tokens` that were heard, and ends the assistant's turn.

        Raises ModelError as `prefill`.
        """
        backbone = self._loaded.backbone
        if n_tokens == 0:
            return
        backbone.rollback(min(self.base + len(self._fed) + n_tokens, backbone.n_past))
        breaks = backbone.tokenize(backbone.prompt_format.turn_break)
        if backbone.n_past + len(breaks) > backbone.n_ctx // 2:  # room for the next turn matters more
            return
        backbone.feed([breaks])
        self._begin_at(backbone.n_past)

    def _begin_at(self, n_past: int) -> None:
        """The next turn begins after the first `n_past` rows of the cache."""
        self.base, self._fed, self._n_user = n_past, self._fed[:0], 0

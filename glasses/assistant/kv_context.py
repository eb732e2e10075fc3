"""The KV cache over turns: the system prompt, the turns before as they were heard, the rows of the newest draft.

A draft carries what the user says; the suffix of the prompt format, after which the answer begins, is added here. Of a
turn that is over the user's rows, the suffix, what was heard of the reply and the turn break stay, as the chat format
of the backbone has them, and the next turn is fed behind them. It belongs to the thread that opened the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasses.assistant.past_turns import PastTurn
from glasses.assistant.reply import same_rows
from glasses.errors import ModelError
from glasses.events import Draft
from glasses.runtime.bundle import LoadedBundle
from glasses.runtime.prompt import suffix_of
from glasses.types import Float32Array, Token

REPLY_ROWS = 128  # of the cache, kept free for an answer and its turn break


class KvContext:
    """`prefill` feeds drafts as they come; `keep` ends a turn and keeps what was heard of its reply."""

    def __init__(self, loaded: LoadedBundle) -> None:
        self._loaded, self._n_prefix = loaded, loaded.n_prefix
        self.base = loaded.n_prefix  # rows before the turn
        self.turns: tuple[PastTurn, ...] = ()  # in the cache, oldest first
        self._suffix = loaded.backbone.token_rows(suffix_of(loaded.backbone))
        self._turn_break = loaded.backbone.tokenize(loaded.backbone.prompt_format.turn_break)
        self._fed: Float32Array = np.zeros((0, loaded.backbone.n_embd), np.float32)  # of the turn, in the cache
        self._n_user = 0  # of these, before the suffix

    @property
    def user_rows(self) -> Float32Array:
        """The last draft's rows as they are in the cache, float32 (n, n_embd): those fed, not those wanted."""
        return self._fed[: self._n_user]

    def prefill(self, draft: Draft) -> int:
        """Feeds what of the draft differs from the cache, and the suffix where the draft may be complete.

        Where draft and answer would not fit behind the turns before, these are left out. Returns how many of the
        draft's rows were in the cache already. Raises ModelError: CONTEXT_FULL, ABORTED.
        """
        rows = np.concatenate([draft.rows, self._suffix]) if draft.may_be_complete else draft.rows
        if self.turns and self.base + len(rows) + REPLY_ROWS > self._loaded.backbone.n_ctx:
            self.forget()
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

    def keep(self, draft: Draft, heard: Sequence[Token]) -> None:
        """Ends the turn of `draft`: of its reply the tokens `heard` stay. Without any, nothing of the turn does.

        A token without an id of this backbone was made elsewhere (a tool, a fixed sentence, a remote model): then the
        text of all is fed as the assistant's own words. May be repeated after it raised. Raises ModelError as
        `prefill`.
        """
        if not heard:
            return
        if any(token.token_id < 0 for token in heard):
            self.prefill(draft)
            self.add_reply("".join(token.text for token in heard))
            return
        eos = self._loaded.backbone.eos
        self._end_turn([token.token_id for token in heard if token.token_id not in eos])

    def add_reply(self, text: str) -> None:
        """Ends the turn, whose complete draft is in the cache, with `text` as the assistant's words.

        Raises ModelError as `prefill`.
        """
        backbone = self._loaded.backbone
        backbone.rollback(self.base + len(self._fed))
        self._end_turn(backbone.tokenize(text.strip(), special=False))

    def rebuild(self, turns: Sequence[PastTurn]) -> None:
        """Makes `turns` those before the next one; between two turns. Raises ModelError, after which all is as it was.

        The cache is made anew behind the system prompt: as much work as all their rows, and a copy of the cache.
        """
        backbone, n_prefix = self._loaded.backbone, self._n_prefix
        backbone.rollback(self.base)
        before = backbone.snapshot()
        turn_break = backbone.token_rows(self._turn_break)
        rows = [part for turn in turns for part in (turn.user, self._suffix, turn.reply, turn_break)]
        backbone.rollback(n_prefix)
        try:
            if rows:
                backbone.feed([np.concatenate(rows)])
        except ModelError:
            backbone.restore(before)
            raise
        self._begin_at(backbone.n_past)
        self.turns = tuple(turns)

    def forget(self) -> None:
        """Leaves the system prompt alone in the cache."""
        self._loaded.backbone.rollback(self._n_prefix)
        self.begin_after(self._n_prefix)

    def begin_after(self, n_prefix: int) -> None:
        """Another system prompt of so many rows is all that the cache holds now."""
        self._n_prefix, self.turns = n_prefix, ()
        self._begin_at(n_prefix)

    def _end_turn(self, reply: Sequence[int]) -> None:
        """Feeds those tokens of the reply that are not in the cache, and the turn break."""
        backbone = self._loaded.backbone
        n_prompt = self.base + len(self._fed)
        backbone.rollback(min(n_prompt + len(reply), backbone.n_past))
        missing = [*reply[backbone.n_past - n_prompt :], *self._turn_break]
        if backbone.n_past + len(missing) + REPLY_ROWS > backbone.n_ctx:  # room for the next turn matters more
            return
        backbone.feed([missing])
        self.turns = (*self.turns, PastTurn(self.user_rows, backbone.token_rows(reply)))
        self._begin_at(backbone.n_past)

    def _begin_at(self, n_past: int) -> None:
        """The next turn begins after the first `n_past` rows of the cache."""
        self.base, self._fed, self._n_user = n_past, self._fed[:0], 0

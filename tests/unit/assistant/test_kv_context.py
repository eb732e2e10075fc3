"""What the KV cache holds over the drafts of a turn, with a backbone that only remembers the rows it was fed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from glasses.assistant.kv_context import KvContext
from glasses.assistant.reply import SAME_ROW
from glasses.events import Draft
from glasses.types import Float32Array, Token, Turn

N_PREFIX, N_EMBD, N_ROWS, N_SUFFIX, N_BREAK, EOS = 5, 32, 8, 1, 2, 9


class Cache:
    """The rows that a backbone's cache would hold."""

    n_embd, n_ctx = N_EMBD, 512
    eos = frozenset({EOS})
    prompt_format = SimpleNamespace(suffix="\nassistant:", turn_break="end user:")

    def __init__(self) -> None:
        self.rows = np.zeros((N_PREFIX, N_EMBD), np.float32)
        self.n_fed = 0

    @property
    def n_past(self) -> int:
        return len(self.rows)

    def rollback(self, n_past: int) -> None:
        self.rows = self.rows[:n_past]

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        return [1] * len(text.split())

    def token_rows(self, ids: list[int]) -> Float32Array:
        return np.full((len(ids), N_EMBD), 7, np.float32)

    def feed(self, parts: list[Any]) -> None:
        rows = [self.token_rows(part) if isinstance(part, list) else part for part in parts]
        self.rows = np.concatenate([self.rows, *rows])
        self.n_fed += sum(len(part) for part in parts)


def opened() -> tuple[KvContext, Cache]:
    cache = Cache()
    loaded: Any = SimpleNamespace(n_prefix=N_PREFIX, backbone=cache)
    return KvContext(loaded), cache


def draft(rows: Float32Array, *, may_be_complete: bool = False) -> Draft:
    return Draft(Turn(1, 0, "tap", ()), rows, may_be_complete, False, False, (0, 0))


def apart(cache: Cache, wanted: Float32Array) -> float:
    """The largest distance of a cached row from what it stands for, relative to that."""
    held = cache.rows[N_PREFIX:]
    return float((np.linalg.norm(held - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max())


def test_kv_context_drafts_that_drift_stay_within_tolerance_of_the_cache() -> None:
    """Each draft differs from the last by a small step."""
    context, cache = opened()
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    for _ in range(40):
        step = rng.standard_normal(rows.shape).astype(np.float32)
        step *= (
            0.9 * SAME_ROW * np.linalg.norm(rows, axis=1, keepdims=True) / np.linalg.norm(step, axis=1, keepdims=True)
        )
        rows = rows + step
        context.prefill(draft(rows))
        assert apart(cache, rows) <= SAME_ROW
        np.testing.assert_array_equal(cache.rows[N_PREFIX:], context.user_rows)


def test_kv_context_draft_within_tolerance_feeds_nothing() -> None:
    context, cache = opened()
    rows = np.random.default_rng(1).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    context.prefill(draft(rows))
    assert context.prefill(draft(rows * np.float32(1 + SAME_ROW / 2))) == N_ROWS
    assert cache.n_fed == N_ROWS


def test_kv_context_draft_that_may_be_complete_is_followed_by_the_suffix_alone() -> None:
    """Of a draft that is fed already only the suffix is, and it goes again where the user speaks on."""
    context, cache = opened()
    rows = np.random.default_rng(2).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    context.prefill(draft(rows))
    assert context.prefill(draft(rows, may_be_complete=True)) == N_ROWS
    assert (cache.n_past, cache.n_fed) == (N_PREFIX + N_ROWS + N_SUFFIX, N_ROWS + N_SUFFIX)
    np.testing.assert_array_equal(context.user_rows, rows)
    longer = np.concatenate([rows, rows])
    assert context.prefill(draft(longer)) == N_ROWS
    np.testing.assert_array_equal(cache.rows[N_PREFIX:], longer)


def test_kv_context_same_complete_draft_again_feeds_the_last_row_for_its_logits() -> None:
    context, cache = opened()
    rows = np.random.default_rng(3).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    context.prefill(draft(rows, may_be_complete=True))
    n_fed = cache.n_fed
    assert context.prefill(draft(rows, may_be_complete=True)) == N_ROWS
    assert cache.n_fed == n_fed + 1
    np.testing.assert_array_equal(context.user_rows, rows)


def wrote(cache: Cache, *ids: int) -> list[Token]:
    """The tokens of a reply, all but the last of them in the cache as after `generate`."""
    cache.feed([list(ids[:-1])])
    return [Token(1, i, " word", 0.0, None, i == ids[-1]) for i in ids]


def test_kv_context_turn_that_is_over_stays_and_only_the_turn_break_is_fed() -> None:
    context, cache = opened()
    first, second = (np.random.default_rng(i).standard_normal((N_ROWS, N_EMBD)).astype(np.float32) for i in (4, 5))
    context.prefill(draft(first, may_be_complete=True))
    reply, n_fed = wrote(cache, 3, 4, EOS), cache.n_fed
    context.keep(draft(first, may_be_complete=True), reply)
    assert (cache.n_fed - n_fed, context.base) == (N_BREAK, N_PREFIX + N_ROWS + N_SUFFIX + 2 + N_BREAK)
    assert [len(turn.reply) for turn in context.turns] == [2]
    base, n_fed = context.base, cache.n_fed
    context.prefill(draft(second))
    assert cache.n_fed - n_fed == N_ROWS, "the turn before is not fed again"
    np.testing.assert_array_equal(cache.rows[base:], second)


def test_kv_context_of_an_interrupted_reply_keeps_what_was_heard() -> None:
    context, cache = opened()
    rows = np.random.default_rng(6).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    context.prefill(draft(rows, may_be_complete=True))
    context.keep(draft(rows, may_be_complete=True), wrote(cache, 3, 4, 5, 6)[:2])
    assert cache.n_past == N_PREFIX + N_ROWS + N_SUFFIX + 2 + N_BREAK


def test_kv_context_reply_of_which_nothing_was_heard_leaves_nothing() -> None:
    context, cache = opened()
    rows = np.random.default_rng(7).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    context.prefill(draft(rows, may_be_complete=True))
    context.keep(draft(rows, may_be_complete=True), [])
    assert (context.base, context.turns) == (N_PREFIX, ())
    context.prefill(draft(rows))
    assert cache.n_past == N_PREFIX + N_ROWS


def test_kv_context_reply_made_elsewhere_is_fed_as_text() -> None:
    """It needs no draft in the cache: what is said without asking the backbone is not prefilled either."""
    context, cache = opened()
    rows = np.random.default_rng(8).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    words = [Token(1, -1, word, 0.0, None, False) for word in ("Two", " timers", " run.")]
    context.keep(draft(rows, may_be_complete=True), words)
    assert cache.n_past == N_PREFIX + N_ROWS + N_SUFFIX + len(words) + N_BREAK
    np.testing.assert_array_equal(context.turns[0].user, rows)


def test_kv_context_turns_that_leave_no_room_are_left_out() -> None:
    context, cache = opened()
    rows = np.random.default_rng(9).standard_normal((cache.n_ctx // 2, N_EMBD)).astype(np.float32)
    for _ in range(3):
        context.prefill(draft(rows, may_be_complete=True))
        context.keep(draft(rows, may_be_complete=True), wrote(cache, 3, EOS))
        assert cache.n_past <= cache.n_ctx
    assert len(context.turns) == 1


def test_kv_context_forget_leaves_the_system_prompt() -> None:
    context, cache = opened()
    rows = np.random.default_rng(10).standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    context.prefill(draft(rows, may_be_complete=True))
    context.keep(draft(rows, may_be_complete=True), wrote(cache, 3, EOS))
    context.forget()
    assert (cache.n_past, context.base, context.turns) == (N_PREFIX, N_PREFIX, ())

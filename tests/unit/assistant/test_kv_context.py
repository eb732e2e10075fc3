"""What the KV cache holds over the drafts of a turn, with a backbone that only remembers the rows it was fed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from glasses.assistant.kv_context import KvContext
from glasses.assistant.reply import SAME_ROW
from glasses.events import Draft
from glasses.types import Float32Array, Turn

N_PREFIX, N_EMBD, N_ROWS, N_SUFFIX = 5, 32, 8, 1


class Cache:
    """The rows that a backbone's cache would hold."""

    n_embd, n_ctx = N_EMBD, 512
    prompt_format = SimpleNamespace(suffix="\nassistant:")

    def __init__(self) -> None:
        self.rows = np.zeros((N_PREFIX, N_EMBD), np.float32)
        self.n_fed = 0

    @property
    def n_past(self) -> int:
        return len(self.rows)

    def rollback(self, n_past: int) -> None:
        self.rows = self.rows[:n_past]

    def tokenize(self, text: str) -> list[int]:
        return [1] * len(text.split())

    def token_rows(self, ids: list[int]) -> Float32Array:
        return np.full((len(ids), N_EMBD), 7, np.float32)

    def feed(self, parts: list[Float32Array]) -> None:
        self.rows = np.concatenate([self.rows, *parts])
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

"""OpenAI's penalties and bias in the choice of a token; without them nothing changes."""

from __future__ import annotations

import numpy as np

from glasses.backbone.sampling import Sampling, choose

LOGITS = np.array([3.0, 2.0, 1.0, 0.0], np.float32)


def chosen(generated: list[int], **how: object) -> int:
    return choose(LOGITS, Sampling(**how), generated, np.random.default_rng(0))  # type: ignore[arg-type]


def test_choose_presence_penalty_counts_once_and_frequency_penalty_each_time() -> None:
    assert chosen([]) == 0
    assert chosen([0], presence_penalty=1.5) == 1
    assert chosen([0, 0], presence_penalty=0.9) == 0
    assert chosen([0, 0], frequency_penalty=0.9) == 1
    assert chosen([3, 3], frequency_penalty=-2.0) == 3


def test_choose_bias_bans_and_favours() -> None:
    assert chosen([], bias={0: -100.0}) == 1
    assert chosen([], bias={3: 100.0}) == 3
    assert chosen([0], bias={0: -1.5}, presence_penalty=0.0) == 1
    assert LOGITS.tolist() == [3.0, 2.0, 1.0, 0.0]


def test_choose_without_them_draws_as_before() -> None:
    plain, neutral = Sampling(1.0, 0.9, 1.2), Sampling(1.0, 0.9, 1.2, 0.0, 0.0, {})
    draws = [[choose(LOGITS, how, [1, 2], np.random.default_rng(i)) for i in range(50)] for how in (plain, neutral)]
    assert draws[0] == draws[1]

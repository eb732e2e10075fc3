"""Prefill of latents against prefill of tokens, and decode speed against memory bandwidth.

Runs that are compared alternate, in an order that is reversed each time, so that a machine which slows down slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from glasses.backbone.llama import LlamaBackbone
from glasses.evaluation.progress import Tick

ROWS = 128  # a prompt with some four seconds of sound in it
_TEXT = "The wearer looks at the harbour and asks which of the boats is the oldest. " * 12
_READ_BYTES = 128 << 20  # well over any cache


def run(
    backbone_path: Path, *, pairs: int = 15, n_threads: int = 2, tick: Tick = lambda stage, done, total: None
) -> dict[str, Any]:
    """Measures and returns figures by name: times in ms, rates in GB/s and tokens/s, ratios without unit.

    `prefill_ratio` is the median over pairs of latents' time by tokens' time, `prefill_cpu_ratio` the same of processor
    time, which other programs disturb less; `decode_of_bound` is decode speed as a
    share of (memory bandwidth / bytes of weights), the bound of a model that reads every weight once a token.
    """
    with LlamaBackbone(backbone_path, n_ctx=1024, n_threads=n_threads) as backbone:
        ids = backbone.tokenize(_TEXT)[:ROWS]
        rows = backbone.token_rows(ids)
        tokens, latents, difference = _paired_prefills(backbone, [ids], [rows], pairs, tick)
        tick("decode", 0, 2)
        token_s = _decode_seconds(backbone, ids)
    tick("memory reads", 1, 2)
    weight_bytes = backbone_path.stat().st_size
    bandwidth = _bandwidth_bytes_s(n_threads)
    ratios = np.array(latents) / np.array(tokens)  # (pairs, 2): wall clock, processor
    return {
        "backbone": backbone_path.name,
        "rows": len(ids),
        "pairs": pairs,
        "threads": n_threads,
        "prefill_tokens_ms": 1e3 * float(np.median(tokens, axis=0)[0]),
        "prefill_latents_ms": 1e3 * float(np.median(latents, axis=0)[0]),
        "prefill_ratio": float(np.median(ratios[:, 0])),
        "prefill_ratio_quartiles": np.quantile(ratios[:, 0], (0.25, 0.75)).tolist(),
        "prefill_cpu_ratio": float(np.median(ratios[:, 1])),
        "max_logit_difference": difference,
        "decode_tokens_s": 1 / token_s,
        "weight_bytes": weight_bytes,
        "bandwidth_gb_s": bandwidth / 1e9,
        "bound_tokens_s": bandwidth / weight_bytes,
        "decode_of_bound": weight_bytes / bandwidth / token_s,
    }


def _paired_prefills(
    backbone: LlamaBackbone, tokens: Sequence[Any], latents: Sequence[Any], pairs: int, tick: Tick
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], float]:
    """(Wall, processor) seconds of each token prefill, of each latent prefill, and their logits' largest difference."""
    seconds: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    difference = 0.0
    for pair in range(-1, pairs):  # the first pair warms up
        tick("prefills", pair + 1, pairs + 1)
        logits = [np.zeros(0, np.float32)] * 2
        for which in (0, 1) if pair % 2 else (1, 0):
            backbone.rollback(0)
            wall, cpu = time.perf_counter(), time.process_time()
            backbone.feed((tokens, latents)[which])
            took = (time.perf_counter() - wall, time.process_time() - cpu)
            logits[which] = backbone.logits()
            if pair >= 0:
                seconds[which].append(took)
        difference = max(difference, float(np.abs(logits[0] - logits[1]).max()))
    return *seconds, difference


def _decode_seconds(backbone: LlamaBackbone, ids: Sequence[int]) -> float:
    """Median seconds a token, choosing included, over up to 128 greedy tokens."""
    backbone.rollback(0)
    backbone.feed([ids])
    times = [time.perf_counter()]
    for _ in backbone.generate(0, max_tokens=128, repetition_penalty=1.3):
        times.append(time.perf_counter())
    return statistics.median(np.diff(times[1:]).tolist())  # the first token needs no decode


def _bandwidth_bytes_s(n_threads: int) -> float:
    """Bytes a second that `n_threads` threads read from memory: the best of several maxima over a large array.

    numpy releases the interpreter lock meanwhile, so threads add up; from a cache it does ten times as much.
    """
    parts = np.array_split(np.ones(_READ_BYTES // 8, np.float64), n_threads)
    with ThreadPoolExecutor(n_threads) as pool:
        best = min(_seconds(lambda: list(pool.map(np.max, parts))) for _ in range(7))
    return _READ_BYTES / best


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(figures: dict[str, Any]) -> str:
    """The figures as a few lines for a person."""
    low, high = figures["prefill_ratio_quartiles"]
    return (
        "{backbone}, {threads} threads\n"
        "prefill of {rows} rows, {pairs} alternating pairs: tokens {prefill_tokens_ms:.0f} ms,"
        " latents {prefill_latents_ms:.0f} ms\n"
        "  latents / tokens        {prefill_ratio:.3f}  (quartiles {low:.3f} to {high:.3f}; goal at most 1.02);"
        " in processor time {prefill_cpu_ratio:.3f}\n"
        "  largest logit difference {max_logit_difference}  (goal 0.0)\n"
        "decode {decode_tokens_s:.1f} tokens/s; memory reads {bandwidth_gb_s:.1f} GB/s, weights"
        " {megabytes:.0f} MB: bound {bound_tokens_s:.0f} tokens/s\n"
        "  decode / bound          {decode_of_bound:.0%}  (goal at least 60%)"
    ).format(**figures, low=low, high=high, megabytes=figures["weight_bytes"] / 1e6)

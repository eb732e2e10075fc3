"""Compares the token probabilities of two GGUF files on text and on latents.

Definitions as llama.cpp's `llama-perplexity --kl-divergence` prints them: KLD is the Kullback-Leibler divergence of the
other model's distribution from the reference's, in nats; "same top" the share of positions where both find the same
token most likely; the change of probability is that of the token that really follows.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glasses.backbone.inputs import check
from glasses.backbone.native import HIDDEN_ROWS, Native, c, drain_errors
from glasses.errors import ModelError, Reason
from quantize.prompts import Prompt

N_CTX = 2048


@dataclass(slots=True)
class _Sums:
    kld: list[NDArray[np.float64]] = field(default_factory=list)
    same_top: list[NDArray[np.bool_]] = field(default_factory=list)
    change: list[NDArray[np.float64]] = field(default_factory=list)  # of the next token's probability
    nll: list[NDArray[np.float64]] = field(default_factory=list)  # (n, 2): reference, other
    worst: list[tuple[float, str]] = field(default_factory=list)


def compare(
    reference: Path, other: Path, prompts: Iterable[Prompt], *, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Returns {domain: figures} over all scored positions; prompts are streamed, as are rows of logits.

    Raises ModelError: CORRUPT, BAD_INPUT (another vocabulary or width).
    """
    natives = [Native(path, n_ctx=N_CTX, n_batch=256, n_threads=1) for path in (reference, other)]
    try:
        if len({(native.n_vocab, native.n_embd) for native in natives}) != 1:
            raise ModelError(Reason.BAD_INPUT, f"{reference} and {other} differ in vocabulary or width: no pair")
        sums: defaultdict[str, _Sums] = defaultdict(_Sums)
        for prompt in prompts:
            _add(sums[prompt.domain], prompt, natives)
            tick()
    finally:
        for native in natives:
            native.close()
    return {domain: _figures(one) for domain, one in sums.items()}


def _add(sums: _Sums, prompt: Prompt, natives: list[Native]) -> None:
    tokens = np.asarray(prompt.parts[-1])
    first = prompt.scored - (sum(len(part) for part in prompt.parts) - len(tokens))  # of `tokens` that is scored
    logs = [log_probabilities(native, prompt, first) for native in natives]
    following = tokens[first:]
    at = np.arange(len(following))
    a, b = logs
    kld = np.maximum(0.0, (np.exp(a) * (a - b)).sum(1))
    sums.kld.append(kld)
    sums.same_top.append(a.argmax(1) == b.argmax(1))
    sums.change.append(np.exp(b[at, following]) - np.exp(a[at, following]))
    sums.nll.append(-np.stack([a[at, following], b[at, following]], axis=1))
    sums.worst = sorted([*sums.worst, (float(kld.mean()), prompt.name)], reverse=True)[:5]


def log_probabilities(native: Native, prompt: Prompt, first: int) -> NDArray[np.float64]:
    """Log-probabilities (n, n_vocab) of every token of the last part from its `first` on, given all before it."""
    native.truncate(0)
    sizes = {"n_vocab": native.n_vocab, "n_embd": native.n_embd}
    *before, tokens = [check(part, f"{prompt.name} part {i}", **sizes) for i, part in enumerate(prompt.parts)]
    at, rows = 0, []
    if first:
        before.append(tokens[: first - 1])
    lead = tokens[first - 1 : -1] if first else tokens[:-1]
    parts = [(part[i : i + native.n_batch], False) for part in before for i in range(0, len(part), native.n_batch)]
    parts += [(lead[i : i + HIDDEN_ROWS], True) for i in range(0, len(lead), HIDDEN_ROWS)]
    for i, (piece, wanted) in enumerate(parts):
        if native.decode(piece, at, hidden=wanted) != 0:
            raise ModelError(Reason.INTERNAL, f"{prompt.name}: {drain_errors()}")
        at += len(piece)
        if wanted:
            rows.append(_log_softmax(_all_logits(native, len(piece))))
        elif not first and (i + 1 == len(parts) or parts[i + 1][1]):
            rows.append(_log_softmax(native.last_logits()[None]))  # predicts the first token of the last part
    return np.concatenate(rows)


def _all_logits(native: Native, n: int) -> NDArray[np.float32]:
    pointer = c.llama_get_logits(native.context)
    return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (n, native.n_vocab)).copy()


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _figures(sums: _Sums) -> dict[str, Any]:
    kld, change = np.concatenate(sums.kld), np.concatenate(sums.change)
    nll = np.concatenate(sums.nll)
    perplexity = np.exp(nll.mean(axis=0))
    return {
        "positions": int(kld.size),
        "kld_mean": float(kld.mean()),
        "kld_median": float(np.median(kld)),
        "kld_99.9%": float(np.quantile(kld, 0.999)),
        "kld_max": float(kld.max()),
        "kld_quantiles": [float(value) for value in np.quantile(kld, np.linspace(0, 1, 41))],
        "same_top": float(np.concatenate(sums.same_top).mean()),
        "rms_change": float(np.sqrt((change**2).mean())),
        "perplexity_ratio": float(perplexity[1] / perplexity[0]),
        "perplexity": [float(value) for value in perplexity],
        "worst": [{"prompt": name, "kld_mean": value} for value, name in sums.worst],
    }

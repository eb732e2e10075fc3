"""Chooses the next token from logits. Needs numpy only.

Reported log-probabilities are always those of the full softmax at temperature 1, whatever the choice was made with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

_REPEAT_WINDOW = 64  # the generated tokens that the repetition penalty applies to


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose. `temperature` 0 takes the most likely token; `top_p` keeps the smallest set of tokens with that
    much probability (Holtzman et al. 2020). `repetition_penalty` over 1 makes the last 64 generated tokens less likely
    (CTRL, Keskar et al. 2019): it divides their logits where positive, multiplies them where negative.

    `presence_penalty` is subtracted from the logit of every token that was generated, `frequency_penalty` as often as
    it was; `bias` is added to the logits of its tokens. All three are OpenAI's.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise ModelError(Reason.BAD_INPUT, f"temperature is {self.temperature}, not in 0..10")
        if not 0 < self.top_p <= 1:
            raise ModelError(Reason.BAD_INPUT, f"top_p is {self.top_p}, not over 0 and at most 1")
        if not 1 <= self.repetition_penalty <= 10:
            raise ModelError(Reason.BAD_INPUT, f"repetition_penalty is {self.repetition_penalty}, not in 1..10")


def log_softmax(logits: Float32Array) -> Float32Array:
    """Log-probabilities, float32, same shape as `logits` (n_vocab,)."""
    shifted = logits - logits.max()
    return shifted - np.float32(np.log(np.exp(shifted).sum(dtype=np.float64)))


def most_likely(logprobs: Float32Array, k: int) -> tuple[tuple[int, float], ...]:
    """The `k` most likely (token, logprob), best first."""
    if k <= 0:
        return ()
    best = np.argpartition(logprobs, -k)[-k:]
    best = best[np.argsort(-logprobs[best], kind="stable")]
    return tuple((int(i), float(logprobs[i])) for i in best)


def choose(logits: Float32Array, how: Sampling, generated: Sequence[int], rng: np.random.Generator) -> int:
    """Chooses the next token; `generated` are the tokens of this generation so far."""
    logits = _adjusted(logits, how, generated)
    if how.repetition_penalty > 1 and generated:
        logits = logits.copy()
        seen = np.unique(generated[-_REPEAT_WINDOW:])
        values = logits[seen]
        logits[seen] = np.where(values > 0, values / how.repetition_penalty, values * how.repetition_penalty)
    if how.temperature == 0:
        return int(logits.argmax())
    probability = np.exp((logits - logits.max()).astype(np.float64) / how.temperature)
    probability /= probability.sum()
    if how.top_p < 1:
        order = np.argsort(-probability)
        keep = int(np.searchsorted(np.cumsum(probability[order]), how.top_p)) + 1
        probability[order[keep:]] = 0
        probability /= probability.sum()
    return int(rng.choice(len(probability), p=probability))


def _adjusted(logits: Float32Array, how: Sampling, generated: Sequence[int]) -> Float32Array:
    """The logits with OpenAI's penalties and bias; the same array where there are none."""
    penalized = bool(generated) and (how.presence_penalty != 0 or how.frequency_penalty != 0)
    if not penalized and not how.bias:
        return logits
    logits = logits.copy()
    if penalized:
        seen, times = np.unique(generated, return_counts=True)
        logits[seen] -= np.float32(how.presence_penalty) + np.float32(how.frequency_penalty) * times.astype(np.float32)
    for token, bias in how.bias.items():
        logits[token] += bias
    return logits

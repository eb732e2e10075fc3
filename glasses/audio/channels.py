"""Makes one channel of several without losing the voice.

The mean is right where the channels hear the same. It is wrong where they cancel (one is wired the other way round),
where one is dead, and where a quiet voice on one stands beside loud music on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasses.types import Float32Array

# How many steps of speech the voice detector finds in a sound, float32 (N,) at the file's rate.
CountSpeech = Callable[[Float32Array], int]

MAX_JUDGED = 8  # channels whose speech is counted: the loudest
_DEAD = 1e-6  # of the loudest channel's power (-60 dB)
_CANCELS = 0.25  # of the loudest channel's power: a mean below it has lost half the amplitude
_ALIKE = 0.5  # as above: of channels that hear the same, the mean is about as loud as they are
_LITTLE_SPEECH = 8  # steps, a quarter of a second: less may be an error of the detector
_NEARLY = 0.9  # of the most speech: the mean keeps what else is heard, so it may have a little less


@dataclass(frozen=True, slots=True)
class Levels:
    """Of a whole sound: covariance of the channels (C, C), means removed, and the number of frames."""

    covariance: NDArray[np.float64]
    frames: int

    def power(self, weights: NDArray[np.float32]) -> float:
        """The power of the sum of the channels with these weights."""
        return float(weights @ self.covariance @ weights)


def levels(blocks: Iterable[Float32Array], n_channels: int) -> Levels:
    """Measures blocks (n, C)."""
    total, products, frames = np.zeros(n_channels), np.zeros((n_channels, n_channels)), 0
    for block in blocks:
        values = block.astype(np.float64)
        total += values.sum(axis=0)
        products += values.T @ values
        frames += len(values)
    means = total / max(1, frames)
    return Levels(products / max(1, frames) - np.outer(means, means), frames)


def weights_of(measured: Levels, count_speech: Callable[[list[NDArray[np.float32]]], list[int]]) -> NDArray[np.float32]:
    """Weights float32 (C,) to sum the channels with: their mean, or one of them.

    `count_speech(candidates)` says how many steps of speech the sum with each weights has; [] where nobody can say.
    """
    powers = np.diag(measured.covariance)
    loudest = int(powers.argmax())
    is_alive = powers > _DEAD * powers[loudest]
    if not is_alive.any():
        return np.full(len(powers), 1 / len(powers), np.float32)
    mean = (is_alive / is_alive.sum()).astype(np.float32)
    of_mean = measured.power(mean) / powers[loudest]
    quietest = powers[is_alive].min() / powers[loudest]
    if is_alive.sum() == 1 or (of_mean >= _ALIKE and quietest >= _ALIKE):
        return mean
    ranked = [int(i) for i in np.argsort(-powers) if is_alive[i]][:MAX_JUDGED]
    candidates = [mean, *(np.eye(len(powers), dtype=np.float32)[i] for i in ranked)]
    speech = count_speech(candidates)
    if speech and max(speech) >= _LITTLE_SPEECH:
        if speech[0] >= _NEARLY * max(speech):
            return mean
        return candidates[int(np.argmax(speech))]
    return mean if of_mean >= _CANCELS else candidates[1]

"""Soft letters of a line -> its words, each with the spellings that it may have.

Connectionist temporal classification (Graves et al. 2006): a spelling's probability is the sum over all ways to lay its
letters along the steps. The prefix beam search is that of Hannun et al. 2014.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from glasses.media.letters import NONE, SoftLine

BEAM = 12  # spellings that are followed at the same time
SURE = 0.9  # a step whose likeliest letter has this probability is not in doubt
_SPACE = ord(" ")
_LEAST = 1e-3  # a letter with less is not followed
_Steps = list[list[tuple[int, float]]]  # of each step: letters (NONE for none) with their probabilities


@dataclass(frozen=True, slots=True)
class Spelling:
    """What a word may be, with its probability by the letters alone."""

    text: str
    probability: float


def words_of(line: SoftLine) -> list[list[Spelling]]:
    """The words of a line, each as its spellings, the likeliest first; a word that is not in doubt has one.

    Words are what stands between spaces that are not in doubt, so one may hold an unsure space.
    """
    words = [spellings(steps) for steps in _between_spaces(line)]
    return [word for word in words if word]


def spellings(steps: _Steps) -> list[Spelling]:
    """The spellings of a stretch of steps, the likeliest first."""
    if all(step[0][1] >= SURE for step in steps):
        text = _greedy(steps).strip()
        return [Spelling(text, float(np.prod([step[0][1] for step in steps])))] if text else []
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}  # ends with none, ends with its last letter
    for step in steps:
        following: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (p_none, p_letter) in beam.items():
            for letter, p in step:
                if letter == NONE:
                    following[prefix][0] += p * (p_none + p_letter)
                elif prefix and letter == prefix[-1]:
                    following[prefix][1] += p * p_letter
                    following[(*prefix, letter)][1] += p * p_none
                else:
                    following[(*prefix, letter)][1] += p * (p_none + p_letter)
        best = sorted(following.items(), key=lambda item: -sum(item[1]))[:BEAM]
        beam = {prefix: (p[0], p[1]) for prefix, p in best}
    found: dict[str, float] = defaultdict(float)
    for prefix, p in beam.items():
        found["".join(map(chr, prefix)).strip()] += sum(p)
    return [Spelling(text, p) for text, p in sorted(found.items(), key=lambda item: -item[1]) if text]


def _greedy(steps: _Steps) -> str:
    best = [NONE, *(step[0][0] for step in steps)]
    return "".join(chr(b) for a, b in pairwise(best) if b not in (NONE, a))


def _between_spaces(line: SoftLine) -> Iterator[_Steps]:
    """The steps of a line, cut where a space is not in doubt."""
    steps: _Steps = []
    for points, probabilities in zip(line.letters.tolist(), line.probabilities.tolist(), strict=True):
        if points[0] == _SPACE and probabilities[0] >= SURE:
            yield steps
            steps = []
        else:
            pairs = zip(points, probabilities, strict=True)
            steps.append([pair for i, pair in enumerate(pairs) if i == 0 or pair[1] >= _LEAST])
    yield steps

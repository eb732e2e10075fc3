"""Latents of text in view: for each step along a line the likeliest letters, and where the line is.

The text encoder makes them and the text connector reads them. Letters are Unicode code points, so that a connector
needs nothing of the recognizer that read them: any recognizer's latents are of one space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glasses.types import Float32Array

SPACE = "letters:0000000000000001"  # the format below; there are no weights that it depends on
N_CANDIDATES = 6  # letters kept of each step; what is beyond them has 0.1% on the lines that are read rightly
WIDTH = 2 * N_CANDIDATES + 9  # code points, probabilities, the row, and the four corners' x and y
SURELY_NONE = 0.99  # a step that is no letter with this probability says nothing but that one letter ended
NONE = 0  # the code point of no letter: between two letters, or beside them


@dataclass(frozen=True, slots=True, eq=False)
class SoftLine:
    """One line. `letters` (T, N_CANDIDATES) are code points, the likeliest first, NONE for none, and `probabilities`
    (T, N_CANDIDATES) theirs; the same letter in adjoining steps is one (CTC). `box` (4, 2): its corners, x and y as
    shares of the picture's width and height, clockwise from the first letter's top. Lines of one `row` stand beside
    each other.
    """

    letters: NDArray[np.int32]
    probabilities: Float32Array
    row: int
    box: Float32Array


def packed(lines: Sequence[SoftLine]) -> Float32Array:
    """Lines as latents float32 (T, WIDTH), one after the other."""
    parts = [np.zeros((0, WIDTH), np.float32)]
    for line in lines:
        n = len(line.letters)
        place = np.tile(np.append(np.float32(line.row), line.box.reshape(-1)), (n, 1))
        parts.append(np.concatenate([line.letters, line.probabilities, place], axis=1, dtype=np.float32))
    return np.concatenate(parts)


def unpacked(data: Float32Array) -> list[SoftLine]:
    """The lines of latents (T, WIDTH). Raises ValueError where they are none."""
    if data.ndim != 2 or data.shape[1] != WIDTH or not np.isfinite(data).all():
        raise ValueError(f"{data.shape} are no latents of text: (T, {WIDTH}) and finite")
    points = data[:, :N_CANDIDATES]
    if (points < 0).any() or (points > 0x10FFFF).any() or (points != np.round(points)).any():
        raise ValueError("latents of text hold something that is no code point")
    place = data[:, 2 * N_CANDIDATES :]
    begins = [0, *(np.flatnonzero((place[1:] != place[:-1]).any(axis=1)) + 1)] if len(data) else []
    ends = [*begins[1:], len(data)]
    return [
        SoftLine(
            points[a:b].astype(np.int32),
            data[a:b, N_CANDIDATES : 2 * N_CANDIDATES],
            int(place[a, 0]),
            place[a, 1:].reshape(4, 2),
        )
        for a, b in zip(begins, ends, strict=False)
    ]


def soft_line(letters: Float32Array, code_points: NDArray[np.int32], row: int, box: Float32Array) -> SoftLine:
    """A line from the probabilities (T, C) of all letters, whose code points (C,) begin with NONE."""
    best = np.argpartition(-letters, N_CANDIDATES - 1, axis=1)[:, :N_CANDIDATES]
    order = np.argsort(-np.take_along_axis(letters, best, axis=1), axis=1, kind="stable")
    best = np.take_along_axis(best, order, axis=1)
    is_none = letters[:, 0] > SURELY_NONE
    keep = ~is_none | np.append(False, ~is_none[:-1])  # of a stretch without letters its first step
    return SoftLine(code_points[best[keep]], np.take_along_axis(letters, best, axis=1)[keep], row, box)

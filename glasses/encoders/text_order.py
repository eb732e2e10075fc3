"""In which order lines of text are read: columns of prose one after the other, else row by row from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glasses.types import Float32Array

PROSE = 6.0  # a line this many times as wide as high is running text; a price or a time is shorter
MIN_LINES = 3  # of prose on each side of a gutter: fewer are no columns
GUTTER = 0.6  # least width of what stands between columns, in heights of a line
SAME_ROW = 0.5  # two lines whose middles differ by less, in heights of the lower one, stand in one row


def rows_in_order(boxes: Float32Array) -> list[list[int]]:
    """The indices of boxes (n, 4, 2), row by row in reading order, from left to right within a row."""
    if not len(boxes):
        return []
    level = _level(boxes)
    lows, highs = level.min(axis=1), level.max(axis=1)
    sides = level[:, 3] - level[:, 0], level[:, 2] - level[:, 1]
    heights = np.linalg.norm(np.array(sides), axis=2).mean(axis=0)
    return _ordered(list(range(len(boxes))), np.concatenate([lows, highs], axis=1), heights)


def _level(boxes: Float32Array) -> Float32Array:
    """The boxes turned so that most of the text is level."""
    along = boxes[:, 1] - boxes[:, 0] + boxes[:, 2] - boxes[:, 3]
    lengths = np.linalg.norm(along, axis=1)
    angles = np.arctan2(along[:, 1], along[:, 0])
    by_angle = np.argsort(angles)
    half = np.searchsorted(np.cumsum(lengths[by_angle]), lengths.sum() / 2)
    tilt = float(angles[by_angle[min(half, len(angles) - 1)]])
    cos, sin = np.cos(-tilt), np.sin(-tilt)
    return boxes @ np.array([[cos, sin], [-sin, cos]], np.float32)


def _ordered(some: list[int], bounds: NDArray[np.floating], heights: NDArray[np.floating]) -> list[list[int]]:
    """`bounds` (n, 4): left, top, right, bottom."""
    for parts in (_columns(some, bounds, heights), _bands(some, bounds, heights)):
        if len(parts) > 1:
            return [row for part in parts for row in _ordered(part, bounds, heights)]
    return _rows(some, bounds, heights)


def _columns(some: list[int], bounds: NDArray[np.floating], heights: NDArray[np.floating]) -> list[list[int]]:
    """The columns of prose, from left to right; one part where there is no gutter."""
    for left, right in _cuts(some, bounds[:, 0], bounds[:, 2], GUTTER * float(np.median(heights[some]))):
        if all(_is_prose(part, bounds, heights) for part in (left, right)):
            return [left, right]
    return [some]


def _bands(some: list[int], bounds: NDArray[np.floating], heights: NDArray[np.floating]) -> list[list[int]]:
    """A headline and the columns below it: parts one above the other, where one of them has columns."""
    for above, below in _cuts(some, bounds[:, 1], bounds[:, 3], 0.0):
        if any(len(_columns(part, bounds, heights)) > 1 for part in (above, below)):
            return [above, below]
    return [some]


def _cuts(
    some: list[int], begins: NDArray[np.floating], ends: NDArray[np.floating], gap: float
) -> list[tuple[list[int], list[int]]]:
    """The ways to divide `some` where nothing is, the widest gap first."""
    by_begin = sorted(some, key=lambda one: begins[one])
    reached, cuts = -np.inf, list[tuple[float, int]]()
    for i, one in enumerate(by_begin):
        if i and begins[one] - reached > gap:
            cuts.append((float(begins[one] - reached), i))
        reached = max(reached, ends[one])
    return [(by_begin[:i], by_begin[i:]) for _, i in sorted(cuts, reverse=True)]


def _is_prose(some: Sequence[int], bounds: NDArray[np.floating], heights: NDArray[np.floating]) -> bool:
    widths = bounds[some, 2] - bounds[some, 0]
    return len(some) >= MIN_LINES and float(np.median(widths / np.maximum(heights[some], 1.0))) >= PROSE


def _rows(some: list[int], bounds: NDArray[np.floating], heights: NDArray[np.floating]) -> list[list[int]]:
    middles = (bounds[:, 1] + bounds[:, 3]) / 2
    rows: list[list[int]] = []
    for one in sorted(some, key=lambda i: middles[i]):
        last = rows[-1][-1] if rows else None
        near = last is not None and middles[one] - middles[last] < SAME_ROW * min(heights[one], heights[last])
        if near and all(_apart(one, other, bounds) for other in rows[-1]):
            rows[-1].append(one)
        else:
            rows.append([one])
    return [sorted(row, key=lambda i: bounds[i, 0]) for row in rows]


def _apart(one: int, other: int, bounds: NDArray[np.floating]) -> bool:
    """Whether two boxes stand beside each other, rather than one below the other."""
    shared = min(bounds[one, 2], bounds[other, 2]) - max(bounds[one, 0], bounds[other, 0])
    return bool(shared < 0.3 * min(bounds[one, 2] - bounds[one, 0], bounds[other, 2] - bounds[other, 0]))

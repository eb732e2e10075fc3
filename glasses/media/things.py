"""Things in a picture as latents: what each may be, and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from glasses.types import Float32Array

N_CLASSES = 80  # of COCO (Lin et al. 2014)
WIDTH = N_CLASSES + 4


class Box(NamedTuple):
    """Where a thing is, in shares of the picture's width and height; `x` and `y` are its middle."""

    x: float
    y: float
    width: float
    height: float


class Thing(NamedTuple):
    """A thing in view; `classes` (80,) says how likely each is, summing to 1."""

    classes: Float32Array
    box: Box


def packed(things: Sequence[Thing]) -> Float32Array:
    """The latents (n, WIDTH) of things."""
    return np.array([[*one.classes, *one.box] for one in things], np.float32).reshape(-1, WIDTH)


def unpacked(data: Float32Array) -> list[Thing]:
    """The things of latents (n, WIDTH)."""
    return [Thing(row[:N_CLASSES], Box(*map(float, row[N_CLASSES:]))) for row in data]

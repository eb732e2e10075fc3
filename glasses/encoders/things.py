"""Finds things in a picture: one latent for each, of what it may be and where it is.

NanoDet (RangiLyu 2020, Apache-2.0), trained on the 80 classes of COCO (Lin et al. 2014). It predicts for each place of
three grids how far the edges of a box are away, as a distribution over whole strides ("Generalized Focal Loss", Li et
al. 2020). Overlapping boxes are one thing, whatever each takes it for: the latent keeps what all of them say.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from glasses.encoders.image import check_picture
from glasses.media.things import Box, Thing, packed
from glasses.model_store.onnx import open_session, space_of
from glasses.types import Float32Array, Latents, UInt8Array, frozen

ENCODER_ID = "nanodet-416"
INPUT_PX = 416
STRIDES = (8, 16, 32)
N_BINS = 11  # of the distance to an edge, in strides
N_DISTANCES = 4 * N_BINS
LEAST_SCORE = 0.4  # under it, on photographs, more boxes are wrong than right
SAME_THING = 0.55  # overlap (intersection over union) of boxes that show one thing
MOST_THINGS = 24
# ImageNet's mean and deviation of the channels blue, green, red, which NanoDet was trained with.
_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)


def places_of(stride: int) -> int:
    """How many places the grid of a stride has."""
    return (INPUT_PX // stride) ** 2


class ThingEncoder:
    """A picture -> latents (n, WIDTH) of the n things in it, the surest first; the file is opened on first use."""

    def __init__(self, path: Path, *, n_threads: int = 1) -> None:
        """Raises ModelError(NOT_FOUND)."""
        self._path, self._n_threads = path, n_threads
        self._session = None
        self.space = space_of(ENCODER_ID, path)

    def encode(self, rgb: UInt8Array, t_ns: int = 0) -> Latents:
        """`rgb` is uint8 (H, W, 3). Raises InputError(BAD_INPUT | TOO_LARGE), ModelError(CORRUPT)."""
        check_picture(rgb)
        if self._session is None:
            self._session = open_session(self._path, n_threads=self._n_threads, keep_arena=False)
        pixels, scale = _pixels(rgb)
        scores, distances = self._session.run(["scores", "distances"], {"pixels": pixels})
        found = _things(np.asarray(scores), np.asarray(distances), scale)
        return Latents(t_ns=t_ns, duration_ns=0, modality="things", data=frozen(packed(found)), space=self.space)


def _pixels(rgb: UInt8Array) -> tuple[Float32Array, tuple[float, float]]:
    """The picture in the upper left of (1, 3, 416, 416), and how much of both axes it fills."""
    height, width = rgb.shape[:2]
    by = INPUT_PX / max(height, width)
    size = max(1, round(width * by)), max(1, round(height * by))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if by < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((INPUT_PX, INPUT_PX, 3), np.float32)  # grey, once normalised
    canvas[: size[1], : size[0]] = (small[:, :, ::-1] - _MEAN) / _DEVIATION
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None]), (float(size[0]), float(size[1]))


def _things(scores: Float32Array, distances: Float32Array, size: tuple[float, float]) -> list[Thing]:
    boxes = _boxes(distances)
    sure = np.flatnonzero(scores.max(1) >= LEAST_SCORE)
    sure = sure[np.argsort(-scores[sure].max(1), kind="stable")]
    found: list[Thing] = []
    while len(sure) and len(found) < MOST_THINGS:
        same = _overlap(boxes[sure[0]], boxes[sure]) >= SAME_THING
        classes = scores[sure[same]].max(0)
        x0, y0, x1, y1 = np.clip(boxes[sure[0]] / (*size, *size), 0, 1)
        found.append(Thing(classes / classes.sum(), Box((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)))
        sure = sure[~same]
    return found


def _boxes(distances: Float32Array) -> Float32Array:
    """Left, upper, right and lower edge in pixels of the input, for all places (n, 4)."""
    bins = distances.reshape(-1, 4, N_BINS)
    shares = np.exp(bins - bins.max(-1, keepdims=True))
    strides = np.concatenate([np.full(places_of(stride), stride) for stride in STRIDES])
    away = (shares / shares.sum(-1, keepdims=True)) @ np.arange(N_BINS) * strides[:, None]
    grids = [np.divmod(np.arange(places_of(stride)), INPUT_PX // stride) for stride in STRIDES]
    x = (np.concatenate([grid[1] for grid in grids]) + 0.5) * strides
    y = (np.concatenate([grid[0] for grid in grids]) + 0.5) * strides
    return np.stack([x - away[:, 0], y - away[:, 1], x + away[:, 2], y + away[:, 3]], 1)


def _overlap(box: Float32Array, boxes: Float32Array) -> Float32Array:
    """Intersection over union of a box with each of others (n, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inside = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return inside / (np.prod(box[2:] - box[:2]) + areas - inside + 1e-6)

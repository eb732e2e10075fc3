"""Where text is in a picture: the detector's probability map -> a box around each line, and the box as a flat picture.

Differentiable binarization (Liao et al. 2020, DB): the network is trained on text regions that were shrunk towards
their middle, so what is found is grown back.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from glasses.types import Float32Array, UInt8Array

TEXT = 0.25  # a pixel with this probability belongs to a line (PP-OCR: 0.3, for scans)
SURE = 0.45  # mean probability of a box that is kept (PP-OCR: 0.6)
GROWTH = 1.4  # of area by circumference: how far a box is grown
MIN_SIDE = 3.0  # pixels of the map; less is a speck
MAX_BOXES = 400  # a full page has some 60 lines
UPRIGHT = 1.5  # a box this much higher than wide holds a line that runs up or down
STRIP_PX = 48  # the height that the recognizer reads
STRETCH = 1.4  # strips are wider than what they show: narrow letters need a step of the recognizer each


def boxes_in(probability: Float32Array, scale: tuple[float, float]) -> tuple[Float32Array, Float32Array]:
    """Boxes (n, 4, 2) in pixels of the picture, corners clockwise from the top left one, as the text is read; and the
    mean probability of each (n,).

    `probability` (H, W) of each pixel of the map to be text; `scale`: pixels of the picture for one of the map, across
    and down.
    """
    mask = (probability > TEXT).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found, sureness = list[Float32Array](), list[float]()
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:MAX_BOXES]:
        middle, size, angle = cv2.minAreaRect(contour)
        sure = _mean_inside(probability, _corners(middle, size, angle)) if min(size) >= MIN_SIDE else 0.0
        if sure < SURE:
            continue
        growth = GROWTH * size[0] * size[1] / (size[0] + size[1])  # on both sides together
        grown = (size[0] + growth, size[1] + growth)
        found.append(_clockwise(_corners(middle, grown, angle)) * np.array(scale))
        sureness.append(sure)
    return np.array(found, np.float32).reshape(-1, 4, 2), np.array(sureness, np.float32)


def flattened(rgb: UInt8Array, box: Float32Array) -> UInt8Array:
    """What is in a box (4, 2) as an upright strip (STRIP_PX, W, 3)."""
    width = max(np.linalg.norm(box[1] - box[0]), np.linalg.norm(box[2] - box[3]), 1.0)
    height = max(np.linalg.norm(box[3] - box[0]), np.linalg.norm(box[2] - box[1]), 1.0)
    to_width = max(round(STRIP_PX * STRETCH * float(width / height)), 8)
    # Shrunk in two steps: a warp takes single pixels, and small print would fall between them.
    shrink = max(float(height) / STRIP_PX / 2, 1.0)
    if shrink > 1.0:
        left, top = np.floor(box.min(axis=0)).astype(int).clip(0)
        right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
        part = np.ascontiguousarray(rgb[top:bottom, left:right])
        if part.size:
            size = (max(round(part.shape[1] / shrink), 1), max(round(part.shape[0] / shrink), 1))
            ratio = np.array([size[0] / part.shape[1], size[1] / part.shape[0]])
            rgb = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
            box = (box - (left, top)) * ratio
    corners = np.array([[0, 0], [to_width, 0], [to_width, STRIP_PX], [0, STRIP_PX]], np.float32)
    turn = cv2.getPerspectiveTransform(box.astype(np.float32), corners)
    edge = cv2.BORDER_REPLICATE
    strip = cv2.warpPerspective(rgb, turn, (to_width, STRIP_PX), flags=cv2.INTER_CUBIC, borderMode=edge)
    return np.asarray(strip, np.uint8)


def is_upright(box: Float32Array) -> bool:
    """Whether the line in a box runs up or down."""
    return bool(np.linalg.norm(box[3] - box[0]) >= UPRIGHT * np.linalg.norm(box[1] - box[0]))


def _corners(middle: Sequence[float], size: Sequence[float], angle: float) -> Float32Array:
    return np.asarray(cv2.boxPoints((middle, size, angle)), np.float32)


def _mean_inside(probability: Float32Array, corners: Float32Array) -> float:
    height, width = probability.shape
    left, top = np.floor(corners.min(axis=0)).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (width, height))
    inside = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(inside, [(corners - (left, top)).astype(np.int32)], 1)
    return cv2.mean(probability[top:bottom, left:right], inside)[0]


def _clockwise(corners: Float32Array) -> Float32Array:
    """The corners from the top left one, of two on the left the upper one; then clockwise."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    top_left, bottom_left = left[np.argsort(left[:, 1], kind="stable")]
    top_right, bottom_right = right[np.argsort(right[:, 1], kind="stable")]
    return np.array([top_left, top_right, bottom_right, bottom_left])

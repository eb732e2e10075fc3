"""Runs the image encoder: one picture in, a grid of latents out.

EfficientNet-Lite0 (Apache-2.0) without its classifier, int8, through onnxruntime. Every position of the 7x7 grid is
kept, so that where a thing is survives as well as what it is.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from glasses.errors import InputError, Reason
from glasses.model_store.onnx import open_session, space_of
from glasses.types import Float32Array, Latents, UInt8Array, frozen

ENCODER_ID = "efficientnet-lite0"
INPUT_PX = 224
MEAN, SCALE = 127.0, 128.0  # EfficientNet-Lite's normalisation: (pixel - 127) / 128 (tensorflow/tpu, lite/)
MAX_PIXELS = 64_000_000
MAX_ASPECT = 8.0  # beyond this a centre crop would show almost nothing of the picture


def preprocess(rgb: UInt8Array) -> Float32Array:
    """Returns `rgb` (H, W, 3) cut to its middle square, scaled and normalised as float32 (1, 3, 224, 224)."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = np.ascontiguousarray(rgb[top : top + side, left : left + side])
    shrinks = side > INPUT_PX
    square = cv2.resize(crop, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    normalised = (square.astype(np.float32) - MEAN) / SCALE
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


class ImageEncoder:
    """EfficientNet-Lite0's spatial features.

    `space` is "efficientnet-lite0:<16 hex>" and names the exact weights. One intra-op thread by default: on a
    small board the camera must not take the cores the microphone needs.
    """

    def __init__(self, onnx_path: Path, *, n_threads: int = 1) -> None:
        """Loads the model. Raises ModelError(NOT_FOUND | CORRUPT)."""
        self._session = open_session(onnx_path, n_threads=n_threads)
        self.space = space_of(ENCODER_ID, onnx_path)

    def encode(self, rgb: UInt8Array, t_ns: int = 0) -> Latents:
        """Returns the latents of one picture: float32 (49, 1280), row-major over the 7x7 grid, duration 0.

        `rgb` is uint8 (H, W, 3). Raises InputError(BAD_INPUT | TOO_LARGE) on anything that is not a picture.
        """
        check_picture(rgb)
        (data,) = self._session.run(["latents"], {"pixels": preprocess(rgb)})
        return Latents(t_ns=t_ns, duration_ns=0, modality="image", data=frozen(np.asarray(data)), space=self.space)


def check_picture(rgb: UInt8Array) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise InputError(
            Reason.BAD_INPUT,
            f"a picture must be uint8 (height, width, 3), got {rgb.dtype} {rgb.shape}; convert it to RGB",
        )
    height, width = rgb.shape[:2]
    if height * width > MAX_PIXELS:
        raise InputError(
            Reason.TOO_LARGE, f"a picture of {width}x{height} is over {MAX_PIXELS} pixels; scale it down first"
        )
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise InputError(
            Reason.BAD_INPUT, f"a picture of {width}x{height} is too thin to see anything in; crop it to what matters"
        )

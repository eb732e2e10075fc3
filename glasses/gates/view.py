"""The camera's gate: which pictures are worth encoding, told from thumbnails. Pure; knows no encoder.

It decides what is *remembered*, never what a turn is given: a touch that looks takes the picture of its own moment.
"""

from __future__ import annotations

import numpy as np

from glasses.types import UInt8Array

_S = 1_000_000_000
EVERY_S = 2.0  # of a view that changes; encoding one takes some 20 ms of a small core
ANYWAY_S = 30.0  # of one that does not
CHANGED = 8.0  # mean difference of 0..255 between thumbnails from which a view is another
_THUMB = 16  # every how many pixels


class ViewGate:
    """`is_new` one picture after the other; `reset` after what must be forgotten."""

    def __init__(self) -> None:
        self._thumb: UInt8Array | None = None
        self._kept_ns = 0

    def is_new(self, rgb: UInt8Array, t_ns: int) -> bool:
        """Whether uint8 (H, W, 3) at `t_ns` shows a view that changed, or that was not kept for long."""
        thumb, since_ns = rgb[::_THUMB, ::_THUMB], t_ns - self._kept_ns
        if self._thumb is not None and since_ns < EVERY_S * _S:
            return False
        if self._thumb is not None and since_ns < ANYWAY_S * _S and difference(thumb, self._thumb) < CHANGED:
            return False
        self._thumb, self._kept_ns = thumb.copy(), t_ns
        return True

    def reset(self) -> None:
        """The next picture is new."""
        self._thumb = None


def difference(one: UInt8Array, other: UInt8Array) -> float:
    """Mean absolute difference of two pictures, 0..255; of other sizes, all there is."""
    if one.shape != other.shape:
        return 255.0
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())

"""Keyframe filter: decides from thumbnails, and from sounds that begin, which camera pictures are worth remembering.

It never decides what a turn is given: a touch that looks takes the picture of its own moment.
"""

from __future__ import annotations

import numpy as np

from glasses.types import NS_PER_S, UInt8Array

CHANGED_EVERY_S = (
    2.0  # at most one picture of a changing view in so long; encoding one takes some 20 ms of a small core
)
UNCHANGED_EVERY_S = 30.0  # a view that does not change is kept again after so long
NEAR_S = 1.0  # a picture this close to a sound's beginning may show its source; a later one may show something else
CHANGED = 8.0  # mean difference of thumbnails, of 0..255, from which a view counts as another
_THUMBNAIL_STEP = 16  # a thumbnail is every 16th pixel


class ViewFilter:
    """`is_new` for each picture in order; `reset` where the past must be forgotten."""

    def __init__(self) -> None:
        self._thumbnail: UInt8Array | None = None  # of the last picture kept by the rhythm of changes
        self._kept_ns = 0
        self._sound_ns: int | None = None  # beginning of a sound that no picture was kept for yet
        self._kept_for_sound_ns = -(10**18)

    def is_new(self, rgb: UInt8Array, t_ns: int) -> bool:
        """Whether to keep uint8 (H, W, 3) at `t_ns`: the view changed, was not kept for long, or a sound began."""
        for_sound = self._is_for_sound(t_ns)
        if for_sound:
            self._sound_ns, self._kept_for_sound_ns = None, t_ns
        # Both are asked: a picture kept for a sound must not shift the rhythm of those kept for a change.
        return self._is_changed(rgb[::_THUMBNAIL_STEP, ::_THUMBNAIL_STEP], t_ns) or for_sound

    def sound_began(self, t_ns: int) -> None:
        """A new sound began at `t_ns`: the next picture near it is kept, at most one in CHANGED_EVERY_S."""
        self._sound_ns = t_ns

    def _is_for_sound(self, t_ns: int) -> bool:
        if self._sound_ns is None or abs(t_ns - self._sound_ns) >= NEAR_S * NS_PER_S:
            return False
        return t_ns - self._kept_for_sound_ns >= CHANGED_EVERY_S * NS_PER_S

    def _is_changed(self, thumbnail: UInt8Array, t_ns: int) -> bool:
        if self._thumbnail is not None:
            since_ns = t_ns - self._kept_ns
            if since_ns < CHANGED_EVERY_S * NS_PER_S:
                return False
            if since_ns < UNCHANGED_EVERY_S * NS_PER_S and difference(thumbnail, self._thumbnail) < CHANGED:
                return False
        self._thumbnail, self._kept_ns = thumbnail.copy(), t_ns
        return True

    def reset(self) -> None:
        """Forgets the last view: the next picture is new."""
        self._thumbnail = self._sound_ns = None


def difference(one: UInt8Array, other: UInt8Array) -> float:
    """Mean absolute difference of two pictures, 0..255; 255 where their sizes differ."""
    if one.shape != other.shape:
        return 255.0
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())

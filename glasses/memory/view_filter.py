"""The camera's gate: which pictures are worth encoding, told from thumbnails and from sounds that begin. Pure; knows
no encoder.

It decides what is *remembered*, never what a turn is given: a touch that looks takes the picture of its own moment.
"""

from __future__ import annotations

import numpy as np

from glasses.types import NS_PER_S, UInt8Array

EVERY_S = 2.0  # of a view that changes; encoding one takes some 20 ms of a small core
NEAR_S = 1.0  # of a sound's beginning: a later picture may show something else
ANYWAY_S = 30.0  # of one that does not
CHANGED = 8.0  # mean difference of 0..255 between thumbnails from which a view is another
_THUMB = 16  # every how many pixels


class ViewFilter:
    """`is_new` one picture after the other; `reset` after what must be forgotten."""

    def __init__(self) -> None:
        self._thumb: UInt8Array | None = None
        self._kept_ns = 0
        self._sound_ns: int | None = None  # of a new sound that no picture was kept for yet
        self._for_sound_ns = -(10**18)  # when a picture was last kept for one

    def is_new(self, rgb: UInt8Array, t_ns: int) -> bool:
        """Whether uint8 (H, W, 3) at `t_ns` shows a view that changed, was not kept for long, or made a sound."""
        sounds = self._sounds_at(t_ns)
        if sounds:  # beside the rhythm of what changes, so that nothing is lost for it
            self._sound_ns, self._for_sound_ns = None, t_ns
        return self._changed(rgb[::_THUMB, ::_THUMB], t_ns) or sounds

    def hears(self, t_ns: int) -> None:
        """A new sound began at `t_ns`: the next picture is kept, once every EVERY_S at most."""
        self._sound_ns = t_ns

    def _sounds_at(self, t_ns: int) -> bool:
        """Whether a sound wants a picture, and this one is near enough to show what made it."""
        late_ns = t_ns - self._sound_ns if self._sound_ns is not None else 1 << 62
        return abs(late_ns) < NEAR_S * NS_PER_S and t_ns - self._for_sound_ns >= EVERY_S * NS_PER_S

    def _changed(self, thumb: UInt8Array, t_ns: int) -> bool:
        since_ns = t_ns - self._kept_ns
        if self._thumb is not None and since_ns < EVERY_S * NS_PER_S:
            return False
        if self._thumb is not None and since_ns < ANYWAY_S * NS_PER_S and difference(thumb, self._thumb) < CHANGED:
            return False
        self._thumb, self._kept_ns = thumb.copy(), t_ns
        return True

    def reset(self) -> None:
        """The next picture is new."""
        self._thumb = self._sound_ns = None


def difference(one: UInt8Array, other: UInt8Array) -> float:
    """Mean absolute difference of two pictures, 0..255; of other sizes, all there is."""
    if one.shape != other.shape:
        return 255.0
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())

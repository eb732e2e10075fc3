"""The moment of a look: of the pictures right after the wearer asked, the one in which most can be made out."""

from __future__ import annotations

import threading
import time

import numpy as np

from glasses.media.view_quality import clarity
from glasses.types import UInt8Array

WINDOW_S = 0.5  # a touch shakes the glasses for a third of a second; the wearer speaks longer than this


class Look:
    """Keeps the best picture of a window of WINDOW_S, and nothing before or after it.

    `begin` may be called from any thread; the others belong to the camera's.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._asked = threading.Event()
        self._until_s: float | None = None  # of the window that is open
        self._best: tuple[UInt8Array, int] | None = None
        self._clarity = 0.0

    def begin(self) -> None:
        """A look is wanted from the next picture on. One that is under way goes on."""
        self._asked.set()

    @property
    def is_due(self) -> bool:
        """Whether pictures are wanted now."""
        return self._asked.is_set() or self._until_s is not None

    def take(self, bgr: UInt8Array, t_ns: int) -> None:
        """One picture uint8 (H, W, 3) of the window, the first of which opens it."""
        if self._until_s is None:
            self._asked.clear()
            self._until_s, self._best = time.monotonic() + self._window_s, None
        if (shown := clarity(np.asarray(bgr[..., ::-1]))) > self._clarity or self._best is None:
            self._best, self._clarity = (bgr, t_ns), shown

    def chosen(self) -> tuple[UInt8Array, int] | None:
        """The best picture and its time, once, where the window is over; else None."""
        if self._until_s is None or time.monotonic() < self._until_s:
            return None
        best, self._best, self._until_s, self._clarity = self._best, None, None, 0.0
        return best

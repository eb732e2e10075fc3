"""Reads out what is written in view: exactly what the recognizer read, never in the backbone's words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from glasses.encoders.text import TextView
from glasses.errors import InputError, ModelError, Reason
from glasses.media.view_quality import why_unseen
from glasses.model_store import store
from glasses.runtime.bundle import open_encoders
from glasses.runtime.bundle_choice import chosen_bundle
from glasses.tools.reading_pages import pages
from glasses.types import UInt8Array

KEPT_S = 600.0  # so long "next page" goes on with what was read
SCRIPTS = "I know Latin and Greek letters, and Chinese characters"
NO_TEXT = "I see no text."
UNREADABLE = f"There is text, but I cannot read it. Come closer, or hold still. {SCRIPTS}, no others."
UNKNOWN_SCRIPT = f"There is text in letters that I do not know. {SCRIPTS}."
SOME_UNREAD = "Some of it I cannot read."
MORE = "Say next page for more."
THE_END = "That was all."
_STEPS = {"next": 1, "more": 1, "continue": 1, "back": -1, "previous": -1}


class Reads(Protocol):
    """The part of a TextEncoder that is needed."""

    def view(self, rgb: UInt8Array, /) -> TextView:
        """The text in a picture."""
        ...


class TextReader:
    """The `TextInView` of tools; any thread may use it."""

    def __init__(
        self, look: Callable[[], UInt8Array], encoder: Reads, *, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`look` gives a picture uint8 (H, W, 3) of what is in view now, or raises InputError."""
        self._look, self._encoder, self._clock_s = look, encoder, clock_s
        self._lock = threading.Lock()  # of what is kept; never held while a picture is taken or read
        self._n_forgotten = 0
        self._pages: list[str] = []
        self._at, self._until_s = 0, 0.0

    def read(self, page: str) -> str:
        """See `TextInView`. Raises InputError: from `look`, NOT_FOUND where there is nothing that can be read;
        ModelError where the encoder cannot be opened.
        """
        with self._lock:
            if page and self._pages and self._clock_s() < self._until_s:
                return self._turned(page)
            n_forgotten = self._n_forgotten
        picture = self._look()
        view = self._encoder.view(picture)
        with self._lock:
            self._pages, self._at = pages(rows_of(view)), 0
            if not self._pages:
                raise InputError(Reason.NOT_FOUND, why_unread(view, picture))
            said = self._page(SOME_UNREAD if view.n_unread else "")
            if n_forgotten != self._n_forgotten:  # wiped meanwhile
                self._pages = []
            return said

    def forget(self) -> None:
        """Drops what was read, and what is being read once it was said. Never waits."""
        with self._lock:
            self._n_forgotten += 1
            self._pages = []

    def _turned(self, page: str) -> str:
        last = len(self._pages) - 1
        wanted = {"first": 0, "last": last}.get(page, self._at + _STEPS.get(page, 0))
        if wanted > last:
            return THE_END
        self._at = max(wanted, 0)
        return self._page()

    def _page(self, note: str = "") -> str:
        """The current page, and that there is more where there is."""
        self._until_s = self._clock_s() + KEPT_S
        after = [note, MORE if self._at < len(self._pages) - 1 else ""]
        return "\n".join([self._pages[self._at], *(one for one in after if one)])


def text_in(rgb: UInt8Array) -> TextReader:
    """Reads in one picture uint8 (H, W, 3), without the other models of a bundle.

    Raises ModelError: NOT_FOUND where no bundle with a text encoder is pulled, CORRUPT.
    """
    name = chosen_bundle(store.AUTO_BUNDLE)
    encoder = open_encoders(name, sounds=False, pictures=True).text_encoder
    if encoder is None:
        raise ModelError(Reason.NOT_FOUND, f"the bundle {name} reads no text")
    return TextReader(lambda: rgb, encoder)


def rows_of(view: TextView) -> list[str]:
    """What was read, a text for each row."""
    rows: dict[int, list[str]] = {}
    for line in view.lines:
        rows.setdefault(line.row, []).append(line.text.strip())
    return [" ".join(row) for row in rows.values()]


def why_unread(view: TextView, picture: UInt8Array) -> str:
    """What is said where nothing could be read in the picture."""
    if view.n_unknown:
        return UNKNOWN_SCRIPT
    return UNREADABLE if view.n_unread else why_unseen(picture) or NO_TEXT

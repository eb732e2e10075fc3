"""Text that was read in view, as pages that are read out: exactly what stands there."""

from __future__ import annotations

import re
from collections.abc import Sequence

PAGE_CHARACTERS = 600  # about 40 s of speech
PROSE_CHARACTERS = 24  # in a row; shorter ones stand by themselves, as on signs and menus
_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u00ad]$")


def paragraphs(rows: Sequence[str]) -> list[str]:
    """Rows of text with those of one running sentence joined; a word that was divided at the end of a row is whole."""
    out: list[str] = []
    for row in rows:
        is_prose = bool(out) and len(out[-1]) >= PROSE_CHARACTERS
        goes_on = is_prose and row[:1].islower() and not out[-1].endswith((".", "!", "?", ":"))
        if goes_on and _HYPHEN.search(out[-1]):
            out[-1] = _HYPHEN.sub("", out[-1]) + row
        elif goes_on:
            out[-1] += f" {row}"
        else:
            out.append(row)
    return out


def pages(rows: Sequence[str], most: int = PAGE_CHARACTERS) -> list[str]:
    """The text in pages of up to `most` characters, divided between rows, else sentences, else words."""
    out: list[str] = []
    for piece in (piece for one in paragraphs(rows) for piece in _pieces(one, most)):
        if out and len(out[-1]) + 1 + len(piece) <= most:
            out[-1] += f"\n{piece}"
        else:
            out.append(piece)
    return out


def _pieces(text: str, most: int) -> list[str]:
    """A paragraph, cut where it is longer than a page."""
    pieces: list[str] = []
    while len(text) > most:
        ends = [match.end() for match in re.finditer(r"[.!?] ", text[:most])]
        cut = ends[-1] if ends and ends[-1] > most // 3 else text.rfind(" ", 1, most) + 1 or most
        pieces.append(text[:cut].rstrip())
        text = text[cut:]
    return [*pieces, text]

"""The one font of everything that is drawn: loading, cleaning text for it, and word wrap.

DejaVu Sans Condensed, because its hinting gives clean two-pixel stems on 1-bit panels and it covers Latin, Greek and
Cyrillic (Pillow's built-in font has no accented letters). The file is shipped (fonts/, with its licence), so no
system font is needed. A character it lacks (an emoji, Chinese, Japanese, Korean) shows as the font's own box; scripts
that are written right to left, or whose letters join, are out of scope.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

_FONT_FILE = Path(__file__).resolve().parent / "fonts" / "DejaVuSansCondensed-subset.ttf"


@lru_cache(maxsize=32)
def load(px: int) -> ImageFont.FreeTypeFont:
    """The font with an em of `px` pixels. Basic layout: the same pixels whether or not libraqm is on the machine."""
    return ImageFont.truetype(str(_FONT_FILE), px, layout_engine=ImageFont.Layout.BASIC)


def line_px(font: ImageFont.FreeTypeFont) -> int:
    """Distance in pixels from one baseline to the next."""
    return round(font.size * 1.25)


def clean(text: str) -> str:
    """`text` with composed accents, `\\n` for every line end, one space for every other run of white space, and
    without what has no shape of its own: control and format characters, variation selectors, lone surrogates."""
    lines = []
    for line in unicodedata.normalize("NFC", text).splitlines():
        spaced = " ".join(line.split())
        lines.append("".join(c for c in spaced if unicodedata.category(c) not in _SHAPELESS and not _is_selector(c)))
    return "\n".join(lines)


_SHAPELESS = {"Cc", "Cf", "Cs"}


def _is_selector(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f"


def wrap(text: str, font: ImageFont.FreeTypeFont, width_px: int, mode: str = "L") -> list[str]:
    """`text` (cleaned) as lines no wider than `width_px`; `mode` "1" measures as 1-bit drawing does. See `wrap_to`."""
    return wrap_to(text, lambda line: font.getlength(line, mode=mode) <= width_px)


def wrap_to(text: str, fits: Callable[[str], bool]) -> list[str]:
    """`text` (cleaned) as lines that fit, one at least: broken between words, inside a word only if it is longer than a
    line. Line ends of the text are kept, empty lines too."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            joined = f"{line} {word}" if line else word
            if fits(joined):
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = _break_word(word, fits)
            lines.extend(full)
        lines.append(line)
    return lines


def _break_word(word: str, fits: Callable[[str], bool]) -> list[str]:
    parts = []
    while not fits(word) and len(word) > 1:
        low, high = 1, len(word) - 1  # the longest head that fits, at least one character
        while low < high:
            middle = (low + high + 1) // 2
            if fits(word[:middle]):
                low = middle
            else:
                high = middle - 1
        parts.append(word[:low])
        word = word[low:]
    return [*parts, word]

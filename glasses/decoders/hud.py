"""Text for a head-up display: broken into lines and pages (`lay_out`), drawn (`render`), saved as PNG.

Every display's lines come from `lay_out`: pages of `glasses ask --hud`, the dashboard's picture, and the text sent to
glasses that draw it in a font of their own.

A page is palette indices at the panel's own size and depth, so that what is sent to the glasses, saved and tested is
one array. On 1-bit panels glyphs are drawn with the font's own hinting, never thresholded or dithered. Black is index
0 everywhere: on see-through glass it is clear. Characters without a glyph: see typeface.py.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glasses.decoders import typeface
from glasses.errors import InputError, Reason
from glasses.types import Display, UInt8Array, frozen

MAX_TEXT_CHARS = 20_000  # some 30 minutes of reading; a cap so that a runaway answer cannot fill memory with pages
_RAMP = 11  # of 16 colours: black to white for text, the rest black to amber for what is not the answer
_WHITE, _AMBER = np.array([255, 255, 245]), np.array([255, 176, 40])
_BAR_PX = 3  # width of the page indicator
MARGIN_PX = 4  # around text in a display's own font


@dataclass(frozen=True, slots=True)
class Page:
    """`indices` uint8 (H, W) into `palette` uint8 (colours, 3) RGB; both read-only."""

    indices: UInt8Array
    palette: UInt8Array

    def rgb(self) -> UInt8Array:
        """The page as uint8 (H, W, 3)."""
        return self.palette[self.indices]


@dataclass(frozen=True, slots=True)
class Cell:
    """A fixed-width font of a display's own: pixels that one character takes."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A text broken into lines for one display, of which `lines_per_page` fit at a time; at least one (empty) line."""

    lines: tuple[str, ...]
    lines_per_page: int

    @property
    def pages(self) -> list[tuple[str, ...]]:
        """The lines spread evenly over as few pages as hold them: no page with one last word on it."""
        n_pages = -(-len(self.lines) // self.lines_per_page)
        n_lines = -(-len(self.lines) // n_pages)
        return [self.lines[first : first + n_lines] for first in range(0, len(self.lines), n_lines)]

    @property
    def newest(self) -> tuple[str, ...]:
        """The last lines that fit: what is shown of a text that is still being written."""
        return self.lines[-self.lines_per_page :]


def lay_out(text: str, display: Display, *, cell: Cell | None = None, has_status: bool = False) -> Layout:
    """Breaks `text` into lines for `display`, set in its own `cell` font or, by default, in the one `render` draws.

    Raises InputError(TOO_LARGE) over MAX_TEXT_CHARS.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise InputError(Reason.TOO_LARGE, f"HUD text of {len(text)} characters: at most {MAX_TEXT_CHARS} are shown")
    text = typeface.clean(text)
    if cell is not None:
        columns = max(1, (display.width - 2 * MARGIN_PX) // cell.width)
        lines = typeface.wrap_to(text, lambda line: len(line) <= columns)
        return Layout(tuple(lines), max(1, (display.height - 2 * MARGIN_PX) // cell.height))
    font, margin = typeface.load(font_px(display)), _margin(display)
    lines = typeface.wrap(text, font, display.width - 2 * margin - 2 * _BAR_PX, _mode(display))
    free_px = display.height - _top(display, has_status) - margin
    return Layout(tuple(lines), max(1, free_px // typeface.line_px(font)))


def newest(text: str, display: Display, *, cell: Cell | None = None) -> tuple[str, ...]:
    """The last lines that fit of a text that is still being written; `cell` as in `lay_out`."""
    return lay_out(text[-MAX_TEXT_CHARS:], display, cell=cell).newest


def render(text: str, display: Display, status: str = "") -> list[Page]:
    """`text` as one or more pages for `display`.

    With more than one page, a bar at the right edge shows which part of the text this page is. `status` is one short
    line (battery, time) at the top, cut to the width. Empty text gives one blank page, which clears the panel.
    Raises InputError(TOO_LARGE) over MAX_TEXT_CHARS.
    """
    pages = lay_out(text, display, has_status=bool(status)).pages
    return [_drawn(lines, display, status, number, len(pages)) for number, lines in enumerate(pages)]


def render_newest(text: str, display: Display) -> Page:
    """One page with the `newest` lines of `text`, as glasses show it that draw the text themselves."""
    return _drawn(newest(text, display), display, "", 0, 1)


def _drawn(lines: Iterable[str], display: Display, status: str, number: int, n_pages: int) -> Page:
    canvas, font, margin = _Canvas(display), typeface.load(font_px(display)), _margin(display)
    if status:
        canvas.status(typeface.clean(status[:MAX_TEXT_CHARS]).replace("\n", " "), font, margin)
    top = _top(display, bool(status)) + margin // 2
    for row, line in enumerate(lines):
        canvas.text(margin, top + row * typeface.line_px(font), line, font)
    if n_pages > 1:
        canvas.bar(number, n_pages)
    return canvas.page()


def _margin(display: Display) -> int:
    return max(2, display.width // 80)


def _top(display: Display, has_status: bool) -> int:
    """Pixels above the text."""
    return round(0.9 * typeface.line_px(typeface.load(font_px(display)))) + _margin(display) if has_status else 0


def font_px(display: Display) -> int:
    """Em size in pixels: 8% of the panel's height, at least 20; less, down to 12, where three lines would not fit.

    On Frame (640x400 over 20 degrees, vendor-stated) and Even G1 (576x136 over 25 degrees, vendor-stated) this makes a
    small x near half a degree tall on both.
    """
    return max(12, min(max(20, round(0.08 * display.height)), display.height // 4))


def palette(colours: int) -> UInt8Array:
    """uint8 (colours, 3): black to white; from 16 colours on the last five are dark to full amber."""
    ramp = _RAMP * colours // 16 if colours >= 16 else colours
    rows = [_WHITE * level for level in np.linspace(0, 1, ramp)]
    rows += [_AMBER * level for level in np.linspace(0, 1, colours - ramp + 1)[1:]]
    return np.round(rows).astype(np.uint8)


def write_png(path: Path, page: Page) -> None:
    """Writes `page` in the panel's own depth: 1-bit grey for two colours, else an indexed PNG of 2, 4 or 8 bits.

    The file appears whole or not at all. Raises InputError(NO_SPACE or BAD_INPUT) when it cannot be written.
    """
    if len(page.palette) == 2:
        image = Image.fromarray(page.indices * 255).convert("1", dither=Image.Dither.NONE)
    else:
        image = Image.fromarray(page.indices).convert("P")
        image.putpalette(page.palette.tobytes())
    save_png(path, image, bits=(len(page.palette) - 1).bit_length())


def save_png(path: Path, image: Image.Image, **options: int) -> None:
    """Saves `image` beside `path` and renames it there, so that nobody reads half a picture. Errors as `write_png`."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            image.save(file, format="PNG", **options)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        reason = Reason.NO_SPACE if error.errno == errno.ENOSPC else Reason.BAD_INPUT
        raise InputError(reason, f"cannot write {path}: {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)  # the only way to read it is to set it
    os.umask(mask)
    return mask


def _mode(display: Display) -> str:
    return "1" if display.colours == 2 else "L"


class _Canvas:
    """One page being drawn: a level image for text (0..255) and one for what is amber, merged into indices."""

    def __init__(self, display: Display) -> None:
        self._colours = display.colours
        self._layers = [Image.new(_mode(display), (display.width, display.height)) for _ in range(2)]
        self._white, self._amber = (ImageDraw.Draw(layer) for layer in self._layers)
        self._width, self._height = display.width, display.height

    def text(self, x: int, y: int, line: str, font: ImageFont.FreeTypeFont) -> None:
        self._white.text((x, y), line, fill=255, font=font)

    def status(self, line: str, font: ImageFont.FreeTypeFont, margin: int) -> None:
        small = typeface.load(max(8, round(font.size * 0.75)))
        while line and small.getlength(line) > self._width - 2 * margin:
            line = line[:-1]
        self._amber.text((margin, margin // 2), line, fill=255, font=small)
        y = margin // 2 + typeface.line_px(small)
        self._amber.line([(margin, y), (self._width - margin, y)], fill=255)

    def bar(self, number: int, count: int) -> None:
        """The page's share of the text as a thumb on a thin line."""
        right = self._width - 1
        thumb = max(4, self._height // count)
        y = round((self._height - thumb) * number / (count - 1))
        self._amber.line([(right, 0), (right, self._height - 1)], fill=255)
        self._amber.rectangle([(right - _BAR_PX + 1, y), (right, y + thumb - 1)], fill=255)

    def page(self) -> Page:
        white, amber = (np.asarray(layer, dtype=np.uint8) for layer in self._layers)
        if self._colours == 2:
            return Page(frozen(white | amber), frozen(palette(2)))
        table = palette(self._colours)
        ramp = _RAMP * self._colours // 16 if self._colours >= 16 else self._colours
        steps = self._colours - ramp
        indices = np.round(white / 255 * (ramp - 1)).astype(np.uint8)
        accent = np.round(amber / 255 * (steps or ramp - 1)).astype(np.uint8)
        indices = np.where(accent > 0, accent + (ramp - 1 if steps else 0), indices).astype(np.uint8)
        return Page(frozen(indices), frozen(table))

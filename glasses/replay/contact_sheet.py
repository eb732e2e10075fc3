"""One page that shows a whole session, and bars that show an evaluation: PNG by Pillow alone.

Draws what it is given, and says so: what was said is marked as not seen by the model, which gets sound only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from glasses.decoders import typeface
from glasses.decoders.hud import save_png
from glasses.errors import InputError, Reason
from glasses.types import Float32Array, Int16Array, UInt8Array, frozen

WIDTH_PX = 1600
MAX_ROWS = 200  # a page of some 45,000 px
_MARGIN = 32
_PAPER, _CARD, _LINE, _INK, _DIM = "#f3f2ee", "#ffffff", "#dddad2", "#1d1d1f", "#76736c"
_BLUE, _PALE_BLUE, _GREEN, _AMBER = "#2b6cb0", "#dbe8f5", "#2f8f5b", "#d0872b"
# Columns of a row: left edge and width.
_TIME, _CAMERA, _SOUND, _ANSWER, _HUD = (48, 76), (128, 240), (392, 392), (808, 420), (1252, 300)
_ROW_PX = 208
_BAR_LABEL_PX, _BAR_PX, _BAR_STEP_PX = 420, 640, 34


@dataclass(frozen=True, slots=True)
class Row:
    """One turn. Times are seconds from the session's start; pictures are uint8 (H, W, 3).

    `envelope` is float32 (N,), 0..1, over `start_s`..`end_s` (see `envelope`); `spoken_s` is where somebody spoke.
    `said` is reference text that no model saw. `answer` is None where the assistant rightly or wrongly kept silent.
    `number` is that of the turn, None where there was none. `timings` are (label, value with its unit) pairs.
    """

    start_s: float
    end_s: float
    envelope: Float32Array
    spoken_s: tuple[float, float] | None = None
    camera: UInt8Array | None = None
    said: str | None = None
    answer: str | None = None
    hud: UInt8Array | None = None
    timings: tuple[tuple[str, str], ...] = ()
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One measured value, its goal, and a baseline with its name ("chance"); None where there is none."""

    label: str
    value: float
    goal: float | None = None
    baseline: float | None = None
    baseline_name: str = "baseline"


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that share a scale from 0 to `full` (by default their largest number), in `unit`."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    higher_is_better: bool = True
    full: float | None = None


def envelope(pcm: Int16Array, bins: int = _SOUND[1]) -> Float32Array:
    """Peak of each of `bins` equal parts of int16 (N,) sound: float32 (bins,), 0..1. All zero for no sound."""
    edges = np.linspace(0, pcm.size, bins + 1).astype(int)
    levels = np.abs(pcm.astype(np.float32)) / 32768
    peaks = [levels[a:b].max(initial=0) for a, b in pairwise(edges)]
    return frozen(np.array(peaks, np.float32))


def contact_sheet(path: Path, title: str, subtitle: str, rows: Sequence[Row]) -> None:
    """Draws `rows` under a heading and a time line, 1600 px wide, and writes a PNG (whole or not at all).

    Raises InputError: TOO_LARGE over MAX_ROWS rows, NO_SPACE or BAD_INPUT if the file cannot be written.
    """
    if len(rows) > MAX_ROWS:
        raise InputError(Reason.TOO_LARGE, f"{len(rows)} rows on one contact sheet: at most {MAX_ROWS}")
    top = 196
    image = Image.new("RGB", (WIDTH_PX, top + len(rows) * (_ROW_PX + 12) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(image)
    _text(draw, (_MARGIN, 22), title, 36)
    _text(draw, (_MARGIN, 70), subtitle, 19, _DIM)
    _timeline(draw, rows)
    for (left, _), label in zip(
        (_TIME, _CAMERA, _SOUND, _ANSWER, _HUD), ("time", "camera", "sound", "answer", "display"), strict=True
    ):
        _text(draw, (left, top - 28), label, 17, _DIM)
    loudest = max((float(row.envelope.max(initial=0)) for row in rows), default=0.0)
    for number, row in enumerate(rows):
        _row(image, top + number * (_ROW_PX + 12), row, loudest)
    save_png(path, image)


def bar_plot(path: Path, title: str, groups: Sequence[Group]) -> None:
    """Draws each group's values as horizontal bars: green where the goal is met, amber where missed, blue without one.

    A black line marks the goal, a hollow diamond the baseline. Raises InputError as `contact_sheet`.
    """
    height = 104 + sum(58 + _BAR_STEP_PX * len(group.bars) for group in groups) + 24
    image = Image.new("RGB", (WIDTH_PX, height), _PAPER)
    draw = ImageDraw.Draw(image)
    _text(draw, (_MARGIN, 20), title, 34)
    x = _MARGIN
    for colour, meaning in ((_GREEN, "goal met"), (_AMBER, "goal missed"), (_BLUE, "no goal set")):
        draw.rectangle([(x, 74), (x + 18, 88)], fill=colour)
        x = _text(draw, (x + 26, 70), meaning, 18, _DIM) + 28
    draw.line([(x, 70), (x, 92)], fill=_INK, width=3)
    x = _text(draw, (x + 10, 70), "goal", 18, _DIM) + 34
    _diamond(draw, x, 81)
    _text(draw, (x + 14, 70), "baseline", 18, _DIM)
    y = 104
    for group in groups:
        _group(draw, y, group)
        y += 58 + _BAR_STEP_PX * len(group.bars)
    save_png(path, image)


def _group(draw: ImageDraw.ImageDraw, y: int, group: Group) -> None:
    better = "higher is better" if group.higher_is_better else "lower is better"
    right = _text(draw, (_MARGIN, y + 16), group.title, 24)
    _text(draw, (right + 14, y + 21), f"{group.unit}, {better}", 18, _DIM)
    numbers = [n for bar in group.bars for n in (bar.value, bar.goal, bar.baseline) if n is not None]
    full = group.full or max([*numbers, 0.0]) or 1.0
    left = _MARGIN + _BAR_LABEL_PX

    def at(value: float) -> int:
        return left + round(_BAR_PX * min(max(value / full, 0.0), 1.0))

    for number, bar in enumerate(group.bars):
        top = y + 52 + number * _BAR_STEP_PX
        met = bar.goal is not None and (bar.value >= bar.goal if group.higher_is_better else bar.value <= bar.goal)
        colour = _BLUE if bar.goal is None else _GREEN if met else _AMBER
        _text(draw, (_MARGIN, top + 2), _fit(bar.label, 19, _BAR_LABEL_PX - 16), 19)
        draw.rectangle([(left, top + 2), (left + _BAR_PX, top + 25)], fill="#e6e4dd")
        draw.rectangle([(left, top + 2), (at(bar.value), top + 25)], fill=colour)
        x = _text(draw, (left + _BAR_PX + 16, top + 1), f"{bar.value:.4g} {group.unit}", 20) + 14
        if bar.baseline is not None:
            _diamond(draw, at(bar.baseline), top + 14)
            x = _text(draw, (x, top + 3), f"{bar.baseline_name} {bar.baseline:.4g}", 18, _DIM) + 14
        if bar.goal is not None:
            draw.line([(at(bar.goal), top - 2), (at(bar.goal), top + 29)], fill=_INK, width=3)
            _text(draw, (x, top + 3), f"goal {'≥' if group.higher_is_better else '≤'} {bar.goal:.4g}", 18, _DIM)


def _diamond(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    draw.polygon([(x - 7, y), (x, y - 7), (x + 7, y), (x, y + 7)], fill=_CARD, outline=_INK, width=2)


def _timeline(draw: ImageDraw.ImageDraw, rows: Sequence[Row]) -> None:
    """The session from left to right: each row's span with its number, speech darker, the silence between bare."""
    end_s = max((row.end_s for row in rows), default=0.0) or 1.0
    left, right, y = _MARGIN, WIDTH_PX - _MARGIN, 108

    def at(t_s: float) -> int:
        return left + round((right - left) * t_s / end_s)

    draw.rectangle([(left, y), (right, y + 26)], fill="#e6e4dd")
    for row in rows:
        draw.rectangle([(at(row.start_s), y), (at(row.end_s), y + 26)], fill=_PALE_BLUE, outline=_PAPER)
        if row.spoken_s:
            draw.rectangle([(at(row.spoken_s[0]), y + 20), (at(row.spoken_s[1]), y + 26)], fill=_BLUE)
        _text(draw, (at(row.start_s) + 6, y), _number(row), 17)
    _text(draw, (left, y + 30), "0:00", 15, _DIM)
    label = _clock(end_s)
    _text(draw, (right - round(typeface.load(15).getlength(label)), y + 30), label, 15, _DIM)


def _number(row: Row) -> str:
    return "\u2013" if row.number is None else str(row.number)


def _row(image: Image.Image, top: int, row: Row, loudest: float) -> None:
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([(_MARGIN, top), (WIDTH_PX - _MARGIN, top + _ROW_PX)], radius=10, fill=_CARD, outline=_LINE)
    _text(draw, (_TIME[0], top + 12), _number(row), 30, _BLUE)
    _text(draw, (_TIME[0], top + 54), f"{_clock(row.start_s)}\n\u2013{_clock(row.end_s)}", 19, _DIM)
    _picture(image, (_CAMERA[0], top + 14, _CAMERA[1], _ROW_PX - 28), row.camera, "no picture")
    _picture(image, (_HUD[0], top + 14, _HUD[1], _ROW_PX - 28), row.hud, "nothing shown")
    _sound(draw, top + 14, row, loudest)
    if row.answer is None:
        _text(draw, (_ANSWER[0], top + 14), "(kept silent)", 22, _DIM)
    else:
        lines = _lines(row.answer, 22, _ANSWER[1], 4 if row.timings else 6)
        _text(draw, (_ANSWER[0], top + 12), "\n".join(lines), 22)
    shown = row.timings[:3]
    for line, (label, value) in enumerate(shown):
        y = top + _ROW_PX - 14 - 22 * (len(shown) - line)
        x = _text(draw, (_ANSWER[0], y), value, 17, _GREEN)
        _text(draw, (x + 8, y), _fit(label, 17, _ANSWER[0] + _ANSWER[1] - x - 8), 17, _DIM)


def _sound(draw: ImageDraw.ImageDraw, top: int, row: Row, loudest: float) -> None:
    left, width = _SOUND
    middle, half = top + 40, 38
    seconds = max(row.end_s - row.start_s, 1e-3)
    if row.spoken_s:
        a, b = (left + round(width * min(max((t - row.start_s) / seconds, 0), 1)) for t in row.spoken_s)
        draw.rectangle([(a, middle - half), (b, middle + half)], fill=_PALE_BLUE)
    draw.line([(left, middle), (left + width, middle)], fill=_LINE)
    for x in range(width if row.envelope.size else 0):
        level = float(row.envelope[x * row.envelope.size // width]) / (loudest or 1.0)
        reach = round(half * min(level, 1.0) ** 0.6)  # a power below 1 keeps quiet sounds visible
        draw.line([(left + x, middle - reach), (left + x, middle + reach)], fill=_BLUE)
    if row.said is not None:
        _text(draw, (left, top + 88), "said (not seen by the model)", 15, _DIM)
        _text(draw, (left, top + 107), "\n".join(_lines(row.said, 19, width, 3)), 19)


def _picture(image: Image.Image, box: tuple[int, int, int, int], rgb: UInt8Array | None, absent: str) -> None:
    x, y, width, height = box
    draw = ImageDraw.Draw(image)
    if rgb is None:
        draw.rectangle([(x, y), (x + width, y + height)], fill=_PAPER)
        _text(draw, (x + 12, y + 10), absent, 17, _DIM)
        return
    picture = Image.fromarray(rgb)
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    image.paste(picture.resize(size, Image.Resampling.LANCZOS), (x, y + (height - size[1]) // 2))


def _text(draw: ImageDraw.ImageDraw, xy: tuple[int, int], text: str, px: int, colour: str = _INK) -> int:
    """Draws `text`, which may have lines, and returns the x where its longest line ends."""
    font = typeface.load(px)
    end = xy[0]
    for number, line in enumerate(typeface.clean(text).split("\n")):
        draw.text((xy[0], xy[1] + number * typeface.line_px(font)), line, fill=colour, font=font)
        end = max(end, xy[0] + round(font.getlength(line)))
    return end


def _lines(text: str, px: int, width_px: int, most: int) -> list[str]:
    lines = [line for line in typeface.wrap(typeface.clean(text[:4000]), typeface.load(px), width_px) if line]
    return lines if len(lines) <= most else [*lines[: most - 1], _fit(f"{lines[most - 1]} …", px, width_px, cut=True)]


def _fit(text: str, px: int, width_px: int, cut: bool = False) -> str:
    """`text` in one line of `width_px`, with "…" at its end where it had to be (or, `cut`, was already) cut."""
    font = typeface.load(px)
    while font.getlength(text) > width_px and len(text) > 2:
        text, cut = text.rstrip("…")[:-1].rstrip() + "…", True
    return text if not cut else text.rstrip("… ") + "…"


def _clock(t_s: float) -> str:
    return f"{int(t_s) // 60}:{int(t_s) % 60:02d}"

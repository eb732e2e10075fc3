"""Draws line and bar plots as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#1b6ca8", "#c8553d", "#3c8d5a", "#7a5195")
WIDTH, HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 44
_BAR = 15


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; `labels`, where given, are shown when a point is pointed at."""

    name: str
    values: Sequence[float]
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bars of one measure, A and B, in `unit`."""

    label: str
    a: float
    b: float
    unit: str


def lines(title: str, curves: Sequence[Line], *, x_label: str, y_label: str, log: bool = False) -> str:
    """A line plot over equally spaced points; `log` takes the logarithm of y, with values under 1e-6 drawn there."""
    scale = (lambda y: math.log10(max(y, 1e-6))) if log else float
    values = [scale(y) for curve in curves for y in curve.values] or [0.0]
    low, high = min(values), max(values)
    low, high = (math.floor(low), math.ceil(high)) if log else (min(0.0, low), high)
    high = high if high > low else low + 1
    n = max((len(curve.values) for curve in curves), default=1)

    def x(i: int) -> float:
        return _LEFT + i * (WIDTH - _LEFT - _RIGHT) / max(1, n - 1)

    def y(value: float) -> float:
        return HEIGHT - _BOTTOM - (scale(value) - low) * (HEIGHT - _TOP - _BOTTOM) / (high - low)

    parts = [_frame(title, x_label, y_label)]
    for tick in range(5):
        value = low + tick * (high - low) / 4
        at = HEIGHT - _BOTTOM - tick * (HEIGHT - _TOP - _BOTTOM) / 4
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(_LEFT - 6, at + 4, f"1e{value:.1f}" if log else f"{value:.3g}", "end"))
    for colour, curve in zip(COLOURS, curves, strict=False):
        points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(curve.values))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>')
        for i, (value, label) in enumerate(zip(curve.values, curve.labels, strict=False)):
            tip = f"<title>{escape(label)}: {value:.4g}</title>"
            parts.append(f'<circle cx="{x(i):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}">{tip}</circle>')
    parts.append(_legend([curve.name for curve in curves]))
    return _svg(HEIGHT, parts)


def pairs(title: str, bars: Sequence[Pair], names: tuple[str, str]) -> str:
    """Two horizontal bars a row, each row on a scale of its own: B is read against A, not row against row."""
    height = _TOP + len(bars) * (2 * _BAR + 14) + 8
    left, room = 250, WIDTH - 250 - 110
    parts = [_text(8, 20, title, "start", "title")]
    for i, bar in enumerate(bars):
        top = _TOP + i * (2 * _BAR + 14)
        parts.append(_text(left - 8, top + _BAR + 4, bar.label, "end"))
        largest = max(bar.a, bar.b, 1e-12)
        for row, (value, colour) in enumerate(zip((bar.a, bar.b), COLOURS, strict=False)):
            width = max(1.0, room * value / largest)
            at = top + row * _BAR
            parts.append(f'<rect x="{left}" y="{at}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>')
            parts.append(_text(left + width + 6, at + _BAR - 4, f"{value:.4g} {bar.unit}", "start"))
    parts.append(_legend(names))
    return _svg(height, parts)


def _frame(title: str, x_label: str, y_label: str) -> str:
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    turned = f'transform="rotate(-90 14 {HEIGHT / 2:.0f})"'
    return (
        _text(8, 20, title, "start", "title")
        + _text(middle, HEIGHT - 12, x_label, "middle")
        + f'<text x="14" y="{HEIGHT / 2:.0f}" text-anchor="middle" {turned}>{escape(y_label)}</text>'
    )


def _legend(names: Sequence[str]) -> str:
    parts, at = [], WIDTH - _RIGHT
    for colour, name in reversed(list(zip(COLOURS, names, strict=False))):
        at -= 7 * len(name) + 30
        parts.append(
            f'<rect x="{at}" y="10" width="12" height="12" fill="{colour}"/>' + _text(at + 17, 20, name, "start")
        )
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{"".join(parts)}</svg>'

"""The contact sheet and the bar plot draw whatever a session or an evaluation may hold, on one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from glasses.decoders import hud
from glasses.errors import InputError, Reason
from glasses.replay import contact_sheet
from glasses.system.board import load_board


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def colours(path: Path) -> set[tuple[int, ...]]:
    return {tuple(rgb) for rgb in np.unique(pixels(path).reshape(-1, 3), axis=0).tolist()}


def full_row(start_s: float, text: str = "What is that sound?") -> contact_sheet.Row:
    pcm = (np.sin(np.arange(64_000) / 9) * 20_000).astype(np.int16)
    return contact_sheet.Row(
        start_s,
        start_s + 4,
        contact_sheet.envelope(pcm),
        (start_s + 1, start_s + 3),
        np.full((48, 64, 3), (1, 200, 3), np.uint8),
        text,
        text,
        hud.render(text[:1000], load_board("even-g1").require_display())[0].rgb(),
        (("end of speech → first audio", "212 ms"),),
    )


def test_contact_sheet_shows_each_row_and_grows_with_them(tmp_path: Path) -> None:
    heights = []
    for count in (1, 3):
        path = tmp_path / f"{count}.png"
        contact_sheet.contact_sheet(path, "demo", "a session", [full_row(5.0 * n) for n in range(count)])
        page = pixels(path)
        heights.append(page.shape[0])
        assert page.shape[1] == contact_sheet.WIDTH_PX
        camera = (page == (1, 200, 3)).all(axis=2).sum()
        assert camera == count * 240 * 180
    assert heights[1] - heights[0] == 2 * 220


def test_contact_sheet_rows_empty_or_with_too_much_text_are_drawn(tmp_path: Path) -> None:
    silent = contact_sheet.Row(0, 0, np.zeros(0, np.float32))
    odd = full_row(3, "日本 😀 \ud800\n\n\t" + "x" * 9000)
    contact_sheet.contact_sheet(tmp_path / "odd.png", "", "", [silent, odd, full_row(10, "")])
    contact_sheet.contact_sheet(tmp_path / "none.png", "t" * 500, "s", [])
    assert pixels(tmp_path / "none.png").shape[1] == contact_sheet.WIDTH_PX
    with pytest.raises(InputError) as caught:
        contact_sheet.contact_sheet(tmp_path / "many.png", "", "", [silent] * (contact_sheet.MAX_ROWS + 1))
    assert caught.value.reason is Reason.TOO_LARGE


def test_contact_sheet_rows_are_numbered_as_their_turns_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[tuple[str, int]] = []
    draw = contact_sheet._text

    def noted(page: ImageDraw.ImageDraw, xy: tuple[int, int], text: str, px: int, colour: str = "#000000") -> int:
        drawn.append((text, px))
        return draw(page, xy, text, px, colour)

    monkeypatch.setattr(contact_sheet, "_text", noted)
    rows = [replace(full_row(0), number=1), full_row(5), replace(full_row(10), number=2)]
    contact_sheet.contact_sheet(tmp_path / "a.png", "", "", rows)
    assert [text for text, px in drawn if px == 30] == ["1", "\N{EN DASH}", "2"]
    assert [text for text, px in drawn if px == 17 and len(text) == 1] == ["1", "\N{EN DASH}", "2"]


def test_envelope_is_the_peak_of_each_part() -> None:
    pcm = np.zeros(1000, np.int16)
    pcm[550] = -32768
    assert contact_sheet.envelope(pcm, 10).tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert not contact_sheet.envelope(np.zeros(0, np.int16), 10).any()
    assert contact_sheet.envelope(pcm[:3], 10).shape == (10,)


@pytest.mark.parametrize(
    ("value", "goal", "higher", "met"),
    [(63.0, 60.0, True, True), (8.2, 10.0, False, True), (50.0, 60.0, True, False), (12.0, 10.0, False, False)],
)
def test_bar_plot_tells_a_met_goal_from_a_missed_one(
    tmp_path: Path, value: float, goal: float, higher: bool, met: bool
) -> None:
    path, plain = tmp_path / "bars.png", tmp_path / "plain.png"
    contact_sheet.bar_plot(plain, "eval", [])
    legend = (pixels(plain) == (0x2F, 0x8F, 0x5B)).all(axis=2).sum()
    contact_sheet.bar_plot(
        path,
        "eval",
        [contact_sheet.Group("g", "%", (contact_sheet.Bar("b", value, goal, 4.0, "chance"),), higher, 100)],
    )
    green = (pixels(path) == (0x2F, 0x8F, 0x5B)).all(axis=2).sum()
    assert bool(green > legend + 1000) == met


def test_bar_plot_of_zeros_and_beyond_the_scale_is_drawn(tmp_path: Path) -> None:
    bars = (contact_sheet.Bar("zero", 0.0), contact_sheet.Bar("below", -5.0), contact_sheet.Bar("above", 1e9, 1e8, 0.0))
    contact_sheet.bar_plot(
        tmp_path / "a.png", "", [contact_sheet.Group("g", "", bars, full=10), contact_sheet.Group("h", "", bars[:1])]
    )
    assert (0x2B, 0x6C, 0xB0) in colours(tmp_path / "a.png")

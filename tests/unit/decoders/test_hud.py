"""HUD pages: the whole text fits the panel at its depth, and unusual text never crashes the renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from firmware_bridge.devices import even_g1_wire
from glasses.decoders import hud, typeface
from glasses.errors import InputError, Reason
from glasses.types import Display

FRAME = Display(640, 400, 16)
EVEN_G1 = Display(576, 136, 2)
PANELS = [FRAME, EVEN_G1, Display(128, 32, 2), Display(240, 240, 256), Display(320, 200, 4), Display(64, 24, 2)]
SENTENCE = "That is a kettle whistling, about two metres to your left: switch off the stove. "


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel.width}x{panel.height}x{panel.colours}")
@pytest.mark.parametrize(
    "text",
    [SENTENCE, SENTENCE * 20, "x" * 3000, "a\n\n\nb", "café Ž Ελλάδα Москва 日本 😀👩‍🚀"],
    ids=["sentence", "long", "one word", "empty lines", "scripts"],
)
def test_render_any_text_fits_the_panel(panel: Display, text: str) -> None:
    for page in hud.render(text, panel, status="14:23 · 82%"):
        assert page.indices.shape == (panel.height, panel.width)
        assert page.indices.dtype == np.uint8
        assert page.indices.max() < panel.colours == len(page.palette)
        assert page.indices.any()
        assert not page.indices.flags.writeable


def test_render_one_bit_text_keeps_off_the_edges() -> None:
    (page,) = hud.render(SENTENCE, EVEN_G1)
    assert not page.indices[:, :4].any()
    assert not page.indices[:, -4:].any()
    assert not page.indices[-4:].any()


def test_render_text_beyond_one_page_has_an_indicator_that_moves() -> None:
    pages = hud.render(SENTENCE * 4, EVEN_G1)
    assert len(pages) > 1
    thumbs = [np.flatnonzero(page.indices[:, -2]).mean() for page in pages]
    assert thumbs == sorted(thumbs)
    assert thumbs[0] < EVEN_G1.height / 2 < thumbs[-1]
    (single,) = hud.render("Yes.", EVEN_G1)
    assert not single.indices[:, -2].any()


def test_render_lines_are_spread_over_the_pages() -> None:
    font = typeface.load(hud.font_px(EVEN_G1))
    six_lines = "\n".join(["line"] * 6)
    pages = hud.render(six_lines, EVEN_G1)
    lowest = [int(np.flatnonzero(page.indices[:, :500].any(axis=1)).max()) for page in pages]
    assert len(pages) == 2
    assert lowest[0] == lowest[1]
    assert lowest[0] < 3 * typeface.line_px(font) + 10


@pytest.mark.parametrize("mode", ["1", "L"])
def test_wrap_any_text_keeps_every_character_within_the_width(mode: str) -> None:
    text = f"{SENTENCE}https://example.org/{'long/' * 60} i {SENTENCE}"
    font = typeface.load(20)
    lines = typeface.wrap(text, font, 300, mode)
    assert all(font.getlength(line, mode=mode) <= 300 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_wrap_in_a_width_no_character_fits_still_ends() -> None:
    assert typeface.wrap("ab", typeface.load(20), 1) == ["a", "b"]


def test_render_missing_characters_are_boxes_and_invisible_ones_nothing() -> None:
    def pixels(text: str) -> list[int]:
        return hud.render(text, EVEN_G1)[0].indices.ravel().tolist()

    assert pixels("日") == pixels("本") != pixels("")
    assert pixels("a\u200db\ufe0f\x00\ud800") == pixels("ab")
    assert pixels("cafe\u0301") == pixels("caf\u00e9")


def test_render_empty_text_is_one_blank_page() -> None:
    (page,) = hud.render(" \n ", FRAME)
    assert not page.indices.any()


def test_render_text_over_the_cap_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        hud.render("a" * (hud.MAX_TEXT_CHARS + 1), FRAME)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("panel", "mode", "bits"), [(EVEN_G1, "1", 1), (FRAME, "P", 4), (Display(320, 200, 4), "P", 2)]
)
def test_png_has_the_depth_of_the_panel_and_the_same_pixels(
    tmp_path: Path, panel: Display, mode: str, bits: int
) -> None:
    path = tmp_path / "page.png"
    (page,) = hud.render(SENTENCE, panel, status="14:23")
    hud.write_png(path, page)
    assert path.read_bytes()[24] == bits  # the PNG header's bit depth
    with Image.open(path) as image:
        assert image.mode == mode
        shown = np.asarray(image.convert("RGB"))
    wanted = page.rgb() if mode == "P" else np.repeat(page.indices[..., None] * 255, 3, axis=2)
    assert np.array_equal(shown, wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["page.png"]


def test_png_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (page,) = hud.render("hi", EVEN_G1)
    with pytest.raises(InputError, match="missing"):
        hud.write_png(tmp_path / "missing" / "page.png", page)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"folder\.png"):
        hud.write_png(tmp_path / "folder.png", page)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_lay_out_in_a_cell_font_breaks_by_columns_and_keeps_line_ends() -> None:
    layout = hud.lay_out("one two\n\nthree " + "x" * 12, Display(2 * hud.MARGIN_PX + 50, 40, 2), cell=hud.Cell(6, 11))
    assert layout.lines == ("one two", "", "three", "x" * 8, "x" * 4)
    assert layout.lines_per_page == 2
    assert layout.pages == [("one two", ""), ("three", "x" * 8), ("x" * 4,)]
    assert layout.newest == ("x" * 8, "x" * 4)


def test_lay_out_newest_is_what_render_newest_draws() -> None:
    layout = hud.lay_out(SENTENCE * 4, EVEN_G1)
    assert len(layout.lines) > layout.lines_per_page == len(layout.newest)
    shown = hud.render_newest(SENTENCE * 4, EVEN_G1)
    (alone,) = hud.render("\n".join(layout.newest), EVEN_G1)
    assert np.array_equal(shown.indices, alone.indices)


@pytest.mark.parametrize("n_sentences", [0, 1, 2, 3, 9])
def test_lay_out_and_the_g1_wire_page_the_same_lines(n_sentences: int) -> None:
    """The G1's wire cannot import glasses: it is given lines, five a page, of which `lay_out` puts five on its panel.

    They differ where a text needs more than one page: the wire fills each, `pages` spreads the lines evenly.
    """
    panel = even_g1_wire.CAPABILITIES.panel
    assert panel is not None
    layout = hud.lay_out(SENTENCE * n_sentences, Display(panel.width, panel.height, panel.colours))
    assert layout.lines_per_page == even_g1_wire.LINES_A_PAGE
    on_wire = [tuple(page.split("\n")) for page in even_g1_wire.text_pages("\n".join(layout.lines))]
    assert len(on_wire) == len(layout.pages)
    assert sum(on_wire, ()) == sum(layout.pages, ()) == layout.lines
    if len(on_wire) == 1:
        assert on_wire == layout.pages

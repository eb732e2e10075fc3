"""The text that is sent to glasses for their HUD."""

from __future__ import annotations

import pytest

from firmware_bridge.devices.device import Panel
from glasses.decoders import hud
from glasses.devices.remote import FONT, hud_text
from glasses.types import Display

PANEL = Panel(640, 400, 16)
SENTENCE = "That is a kettle whistling, about two metres to your left: switch off the stove. "


@pytest.mark.parametrize("n_sentences", [0, 1, 30, 400])
def test_hud_text_is_the_end_of_the_layout(n_sentences: int) -> None:
    shown = hud_text(SENTENCE * n_sentences, PANEL).split("\n")
    assert max(map(len, shown)) * FONT.width <= PANEL.width - 2 * hud.MARGIN_PX
    assert len(shown) * FONT.height <= PANEL.height - 2 * hud.MARGIN_PX
    assert " ".join((SENTENCE * n_sentences).split()).endswith(" ".join(shown))


def test_hud_text_beyond_the_cap_is_shown_from_its_end() -> None:
    text = "x " * hud.MAX_TEXT_CHARS + "the end"
    assert hud_text(text, PANEL).endswith("the end")


def test_hud_text_keeps_the_line_ends_of_the_text() -> None:
    assert hud_text("milk\neggs", PANEL) == "milk\neggs"
    display = Display(PANEL.width, PANEL.height, PANEL.colours)
    assert hud.lay_out("milk\neggs", display).lines == ("milk", "eggs")

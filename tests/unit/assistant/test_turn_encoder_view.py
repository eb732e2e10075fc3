"""The rows of a picture are made once a turn, however many drafts it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.assistant.speculator import DraftState
from glasses.assistant.turn_encoder import TurnEncoder
from glasses.media.pictures import read_image
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.types import Frame, Latents

pytestmark = pytest.mark.models
PICTURES = Path(__file__).parents[3] / "models" / "eval" / "pictures"


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle("pocket")
    yield opened
    opened.close()


class Counted:
    """A connector, and how often it was applied."""

    def __init__(self, connector: Any) -> None:
        self.connector, self.n = connector, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connector, name)

    def apply(self, latents: Latents, companion: Latents | None = None) -> Any:
        self.n += 1
        return self.connector.apply(latents, companion)


def test_turn_encoder_connects_a_picture_once_for_all_drafts_of_a_turn(loaded: LoadedBundle) -> None:
    counted = {name: Counted(loaded.connectors[name]) for name in ("image", "text")}
    bundle = replace(loaded, connectors={**loaded.connectors, **counted})
    encoder = TurnEncoder(bundle)
    pcm = np.zeros(16_000, np.float32)
    for turn in (1, 2):
        encoder.begin("long_press", 0, 0)
        encoder.see(Frame(turn, 0, read_image(PICTURES / "multimeter1.jpg")), wanted=True)
        assert encoder._view
        encoder._view.latents()  # the text is read
        drafts = [encoder.encode(pcm, 10**9, DraftState.PARTIAL, wants_image=True) for _ in range(3)]
        assert len({draft.rows.tobytes() for draft in drafts}) == 1
        assert {name: one.n for name, one in counted.items()} == {"image": turn, "text": turn}

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from glasses.connectors.text import TextConnector
from glasses.errors import InputError, ModelError, Reason
from glasses.media.letters import SPACE, WIDTH, packed
from glasses.types import Float32Array, Latents
from tests.unit.connectors.test_letter_beam import line, sure

TOKENS = ["<", ">", "\n", " ", "cat", " cat", "cot", " dog", *"abcdefghijklmnopqrstuvwxyz", "price", "animal", "how"]


class Backbone:
    """Spells with the longest tokens that fit; the row of a token is its own axis."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        del special
        ids: list[int] = []
        while text:
            best = max((one for one in TOKENS if text.startswith(one)), key=len)
            ids.append(TOKENS.index(best))
            text = text[len(best) :]
        return ids

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        return np.eye(len(TOKENS), dtype=np.float32)[list(ids)]


@pytest.fixture
def connector(tmp_path: Path) -> TextConnector:
    table = {"before": "<", "after": ">", "about_text": ["price", "how price"], "about_picture": ["animal"]}
    (tmp_path / "wording.json").write_text(json.dumps(table))
    return TextConnector(tmp_path / "wording.json", Backbone())


def latents(*lines: object) -> Latents:
    return Latents(0, 0, "text", packed(lines), SPACE)  # type: ignore[arg-type]


def spelled(rows: Float32Array) -> str:
    return "".join(TOKENS[i] for i in rows.argmax(axis=1))


def test_text_connector_spells_whole_words_between_its_wording(connector: TextConnector) -> None:
    rows = connector.apply(latents(line(*sure("cat dog"))))
    assert spelled(rows) == "<cat dog>"
    assert len(rows) == 4
    assert (rows.max(axis=1) == 1).all()


def test_text_connector_without_text_gives_no_rows(connector: TextConnector) -> None:
    assert connector.apply(latents()).shape == (0, len(TOKENS))


def test_text_connector_prefers_the_spelling_that_the_vocabulary_knows(connector: TextConnector) -> None:
    rows = connector.apply(latents(line(*sure("c"), {"u": 0.6, "a": 0.4}, *sure("t"))))
    assert spelled(rows) == "<cat>"


def test_text_connector_gives_what_stays_in_doubt_as_a_mixture(connector: TextConnector) -> None:
    rows = connector.apply(latents(line(*sure("c"), {"o": 0.5, "a": 0.5}, *sure("t"))))
    assert len(rows) == 3
    assert rows[1, TOKENS.index("cat")] == pytest.approx(0.5, abs=0.01)
    assert rows[1, TOKENS.index("cot")] == pytest.approx(0.5, abs=0.01)


def test_text_connector_tells_questions_about_text_from_those_about_pictures(connector: TextConnector) -> None:
    backbone = Backbone()
    assert connector.is_about_text(backbone.token_rows(backbone.tokenize("how price")))
    assert not connector.is_about_text(backbone.token_rows(backbone.tokenize("animal")))
    assert not connector.is_about_text(backbone.token_rows([]))


def test_text_connector_of_other_latents_is_refused(connector: TextConnector) -> None:
    with pytest.raises(ModelError) as error:
        connector.apply(Latents(0, 0, "text", np.zeros((1, WIDTH), np.float32), "other:0"))
    assert error.value.reason is Reason.WRONG_SPACE
    with pytest.raises(InputError, match="code point"):
        connector.apply(Latents(0, 0, "text", np.full((1, WIDTH), 0.5, np.float32), SPACE))

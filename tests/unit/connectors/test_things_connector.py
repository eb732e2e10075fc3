"""Latents of things become rows that list them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.connectors.things import ThingsConnector, sides_of
from glasses.errors import ModelError
from glasses.media.things import N_CLASSES, Box, Thing, packed
from glasses.model_store import store
from glasses.types import Float32Array, Latents, frozen

pytestmark = pytest.mark.models
DOG, HORSE = 16, 17
LEFT, RIGHT = Box(0.1, 0.5, 0.1, 0.3), Box(0.9, 0.5, 0.1, 0.3)


@pytest.fixture
def connector(backbone: LlamaBackbone) -> ThingsConnector:
    return ThingsConnector(store.path_of("things-connector"), backbone)


def thing(kinds: dict[int, float], box: Box) -> Thing:
    classes = np.zeros(N_CLASSES, np.float32)
    for kind, probability in kinds.items():
        classes[kind] = probability
    return Thing(classes, box)


def latents(connector: ThingsConnector, *things: Thing) -> Latents:
    return Latents(0, 0, "things", frozen(packed(things)), connector.space)


def rows_of_text(backbone: LlamaBackbone, *parts: str) -> Float32Array:
    return backbone.token_rows([token for part in parts for token in backbone.tokenize(part, special=False)])


def test_apply_to_certain_things_gives_the_rows_of_the_words(
    connector: ThingsConnector, backbone: LlamaBackbone
) -> None:
    given = latents(connector, thing({DOG: 1}, LEFT), thing({HORSE: 1}, RIGHT), thing({DOG: 1}, RIGHT))
    expected = rows_of_text(
        backbone,
        *("The picture shows", " two", " dogs", " (", "left", ", ", "right", ")"),
        *(",", " one", " horse", " (", "right", ")", ".\n"),
    )
    np.testing.assert_allclose(connector.apply(given), expected, atol=1e-4)


def test_apply_to_a_doubtful_thing_lies_between_the_names(connector: ThingsConnector, backbone: LlamaBackbone) -> None:
    beliefs: list[dict[int, float]] = [{HORSE: 1.0}, {DOG: 1.0}, {HORSE: 0.6, DOG: 0.4}]
    horse, dog, doubt = (connector.apply(latents(connector, thing(belief, LEFT))) for belief in beliefs)
    at = len(rows_of_text(backbone, "The picture shows", " one"))
    np.testing.assert_allclose(doubt[at], 0.6 * horse[at] + 0.4 * dog[at], atol=1e-4)


def test_apply_to_no_things_gives_no_rows(connector: ThingsConnector, backbone: LlamaBackbone) -> None:
    assert connector.apply(latents(connector)).shape == (0, backbone.token_rows([]).shape[1])


def test_apply_to_latents_of_another_encoder_is_refused(connector: ThingsConnector) -> None:
    given = Latents(0, 0, "things", latents(connector, thing({DOG: 1}, LEFT)).data, "nanodet-416:0123456789abcdef")
    with pytest.raises(ModelError, match="given to a connector"):
        connector.apply(given)


def test_connector_with_too_few_names_says_so(tmp_path: Path, backbone: LlamaBackbone) -> None:
    wording = json.loads(store.path_of("things-connector").read_text())
    (tmp_path / "wording.json").write_text(json.dumps(wording | {"names": ["dog"]}))
    with pytest.raises(ModelError, match="1 names, expected 80"):
        ThingsConnector(tmp_path / "wording.json", backbone)


def test_sides_of_a_thing_across_two_thirds_is_between_them() -> None:
    left, middle, right = sides_of(thing({DOG: 1}, Box(1 / 3, 0.5, 0.2, 0.5)))
    assert left == pytest.approx(middle, abs=1e-3)
    assert right < 0.01

"""Things in photographs, and where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.encoders.things import ThingEncoder
from glasses.errors import ModelError
from glasses.media.pictures import read_image
from glasses.media.things import WIDTH, unpacked
from glasses.model_store import store
from glasses.types import UInt8Array

pytestmark = pytest.mark.models
SHEEP, COW = 18, 19  # of COCO's classes
PICTURES = Path(__file__).parents[3] / "models" / "eval" / "pictures"


@pytest.fixture(scope="module")
def encoder() -> ThingEncoder:
    return ThingEncoder(store.path_of("nanodet-416-int8"))


def beside(*names: str) -> UInt8Array:
    """Photographs side by side, 240 pixels high."""
    pictures = [read_image(PICTURES / name) for name in names]
    return np.concatenate([one[:240] for one in pictures], axis=1)


def test_encode_one_animal_gives_its_class_and_box(encoder: ThingEncoder) -> None:
    latents = encoder.encode(read_image(PICTURES / "farm-sheep.jpg"), 7)
    assert (latents.modality, latents.t_ns, latents.space) == ("things", 7, encoder.space)
    (thing, *_) = unpacked(latents.data)
    assert int(thing.classes.argmax()) == SHEEP
    assert float(thing.classes.sum()) == pytest.approx(1, abs=1e-4)
    x, y, width, height = thing.box
    assert abs(x - 0.47) < 0.12
    assert abs(y - 0.51) < 0.12
    assert 0.3 < width < 0.7
    assert 0.5 < height < 1


def test_encode_two_animals_tells_which_is_on_which_side(encoder: ThingEncoder) -> None:
    for names, expected in (
        (("farm-sheep.jpg", "farm-cow.jpg"), (SHEEP, COW)),
        (("farm-cow.jpg", "farm-sheep.jpg"), (COW, SHEEP)),
    ):
        things = unpacked(encoder.encode(beside(*names)).data)
        first, second = (next(one for one in things if int(one.classes.argmax()) == kind) for kind in expected)
        assert first.box[0] < second.box[0]


def test_encode_of_nothing_has_no_rows(encoder: ThingEncoder) -> None:
    assert encoder.encode(np.full((300, 200, 3), 90, np.uint8)).data.shape == (0, WIDTH)


def test_encode_of_a_narrow_picture_keeps_boxes_inside(encoder: ThingEncoder) -> None:
    for thing in unpacked(encoder.encode(read_image(PICTURES / "farm-cow.jpg")[:, :90]).data):
        x, y, width, height = thing.box
        edges = [x - width / 2, x + width / 2, y - height / 2, y + height / 2]
        assert min(edges) >= -1e-6
        assert max(edges) <= 1 + 1e-6


def test_encode_with_a_file_of_something_else_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot load"):
        ThingEncoder(path).encode(np.zeros((64, 64, 3), np.uint8))

from __future__ import annotations

import cv2
import numpy as np
import pytest

from glasses.encoders.text import TextEncoder
from glasses.encoders.text_boxes import boxes_in, flattened
from glasses.errors import InputError
from glasses.media.letters import WIDTH
from glasses.model_store import store


def test_boxes_in_a_map_without_text_are_none() -> None:
    assert boxes_in(np.zeros((64, 64), np.float32), (1.0, 1.0))[0].shape == (0, 4, 2)


def test_boxes_in_are_grown_and_in_pixels_of_the_picture() -> None:
    probability = np.zeros((100, 200), np.float32)
    probability[40:50, 50:150] = 0.9
    (box,), (sureness,) = boxes_in(probability, (2.0, 3.0))
    assert sureness > 0.85
    assert (box[0] < (100, 120)).all()
    assert (box[2] > (298, 147)).all()
    assert (np.abs(box.mean(axis=0) - (199, 133.5)) < 2).all()


def test_flattened_box_that_reaches_out_of_the_picture_is_a_strip() -> None:
    box = np.array([[-20, -20], [300, -10], [300, 40], [-20, 30]], np.float32)
    strip = flattened(np.full((50, 200, 3), 7, np.uint8), box)
    assert strip.shape[0] == 48
    assert (strip == 7).all()


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    paths = store.paths_of(store.load_manifest("ppocr-v6-tiny"))
    return TextEncoder(paths["detector"], paths["recognizer"])


@pytest.mark.models
def test_text_encoder_reads_lines_with_their_places(encoder: TextEncoder) -> None:
    rgb = np.full((400, 800, 3), 255, np.uint8)
    for text, y in (("Coffee 2.80", 130), ("Closed on Mondays", 300)):
        cv2.putText(rgb, text, (60, y), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (0, 0, 0), 5, cv2.LINE_AA)
    lines = encoder.read(rgb)
    assert [line.text for line in lines] == ["Coffee 2.80", "Closed on Mondays"]
    assert [line.row for line in lines] == [0, 1]
    assert all(line.sureness > 0.8 and line.letters.shape[1] == len(encoder.alphabet) for line in lines)
    assert (np.abs(lines[0].box.mean(axis=0) - (230, 110)) < 40).all()
    latents = encoder.encode(rgb, 7)
    assert (latents.t_ns, latents.modality, latents.data.shape[1]) == (7, "text", WIDTH)


@pytest.mark.models
def test_text_encoder_without_text_gives_no_latents(encoder: TextEncoder) -> None:
    grey = np.full((300, 300, 3), 128, np.uint8)
    assert encoder.read(grey) == []
    assert encoder.encode(grey).data.shape == (0, WIDTH)


@pytest.mark.models
def test_text_encoder_of_something_that_is_no_picture_is_refused(encoder: TextEncoder) -> None:
    with pytest.raises(InputError, match="a picture must be"):
        encoder.read(np.zeros((4, 4), np.uint8))

"""The image encoder: what it accepts and refuses, and that the shipped weights match the float weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasses.encoders.image import INPUT_PX, MAX_PIXELS, ImageEncoder, preprocess
from glasses.errors import InputError, ModelError, Reason
from glasses.evaluation.pictures import hits, read_pictures
from glasses.types import UInt8Array

ARTIFACT = Path(__file__).parents[3] / "models" / "artifacts" / "efficientnet-lite0-int8.onnx"


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return ImageEncoder(ARTIFACT)


def grey(height: int, width: int) -> UInt8Array:
    return np.full((height, width, 3), 127, np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (224, 224), (480, 640), (1080, 1920), (3, 20)])
def test_preprocess_gives_a_normalised_square(shape: tuple[int, int]) -> None:
    pixels = preprocess(grey(*shape))
    assert pixels.shape == (1, 3, INPUT_PX, INPUT_PX)
    assert pixels.dtype == np.float32
    assert np.abs(pixels).max() == 0  # 127 is the middle of EfficientNet-Lite's range


def test_preprocess_keeps_channels_apart_and_cuts_the_middle() -> None:
    rgb = np.zeros((100, 300, 3), np.uint8)
    rgb[:, 100:200, 0] = 255
    pixels = preprocess(rgb)[0]
    assert (pixels[0] == 1).all()
    assert (pixels[1:] == -127 / 128).all()


def test_image_encoder_latents_keep_the_grid_and_are_read_only(encoder: ImageEncoder) -> None:
    latents = encoder.encode(grey(300, 400), t_ns=7)
    assert latents.data.shape == (49, 1280)
    assert latents.data.dtype == np.float32
    assert not latents.data.flags.writeable
    assert (latents.t_ns, latents.modality) == (7, "image")
    assert latents.space == encoder.space
    assert latents.space.startswith("efficientnet-lite0:")
    assert len(latents.space.split(":")[1]) == 16


def test_image_encoder_same_picture_gives_same_latents(encoder: ImageEncoder) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    assert np.array_equal(encoder.encode(rgb).data, encoder.encode(rgb).data)


def test_image_encoder_change_in_a_corner_changes_its_latents_most(encoder: ImageEncoder) -> None:
    """Positions are kept, row-major."""
    rgb = grey(224, 224)
    changed = rgb.copy()
    changed[:48, 176:] = np.random.default_rng(1).integers(0, 256, (48, 48, 3))
    difference = np.abs(encoder.encode(changed).data - encoder.encode(rgb).data).sum(1).reshape(7, 7)
    assert np.unravel_index(difference.argmax(), (7, 7))[0] <= 1
    assert np.unravel_index(difference.argmax(), (7, 7))[1] >= 5


@pytest.mark.parametrize(
    ("rgb", "reason"),
    [
        (np.zeros((10, 10), np.uint8), Reason.BAD_INPUT),
        (np.zeros((10, 10, 4), np.uint8), Reason.BAD_INPUT),
        (np.zeros((0, 10, 3), np.uint8), Reason.BAD_INPUT),
        (np.zeros((10, 10, 3), np.float32), Reason.BAD_INPUT),
        (np.zeros((10, 100, 3), np.uint8), Reason.BAD_INPUT),
        (np.broadcast_to(np.uint8(0), (MAX_PIXELS // 8000 + 1, 8000, 3)), Reason.TOO_LARGE),
    ],
)
def test_image_encoder_input_that_is_no_picture_is_refused(
    encoder: ImageEncoder, rgb: UInt8Array, reason: Reason
) -> None:
    with pytest.raises(InputError) as caught:
        encoder.encode(rgb)
    assert caught.value.reason == reason


def test_image_encoder_absent_and_broken_weights_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as absent:
        ImageEncoder(tmp_path / "none.onnx")
    assert absent.value.reason == Reason.NOT_FOUND
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(ARTIFACT.read_bytes()[:100_000])
    with pytest.raises(ModelError) as damaged:
        ImageEncoder(broken)
    assert damaged.value.reason == Reason.CORRUPT


def test_read_pictures_held_out_set_is_complete() -> None:
    pictures = list(read_pictures())
    assert len(pictures) >= 50
    assert len({picture.file for picture in pictures}) == len(pictures)
    assert all(picture.accept and max(picture.rgb.shape) <= 480 for picture in pictures)


@pytest.mark.parametrize(
    ("answer", "hit"),
    [
        ("The picture shows a bird, a kingfisher.", True),
        ("Two birds.", True),
        ("A dog. There is no bird.", False),
        ("A birdhouse.", False),
        ("", False),
    ],
)
def test_hits_counts_a_whole_word_of_the_first_sentence(answer: str, hit: bool) -> None:
    assert hits(answer, ("kingfisher", "bird")) is hit

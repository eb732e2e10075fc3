"""The shipped ambience connector on real latents: shape, scale, and that different sounds give different rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from glasses.encoders.audio import AudioEncoder
from glasses.evals.sounds import SOUNDS
from glasses.media import read_audio

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
CONNECTOR = ARTIFACTS / "audio-ambience-pocket.onnx"
ENCODER = ARTIFACTS / "whisper-tiny-en-encoder-int8.onnx"


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(CONNECTOR))


@pytest.mark.parametrize("n_latents", [1, 7, 1500])
def test_any_length_gives_ten_finite_rows_of_token_size(session: onnxruntime.InferenceSession, n_latents: int) -> None:
    latents = np.random.default_rng(0).standard_normal((n_latents, 768)).astype(np.float32)
    rows = np.asarray(session.run(None, {"latents": latents})[0])
    assert rows.shape == (10, 576)
    assert np.isfinite(rows).all()
    assert 0.05 < np.sqrt((rows**2).mean()) < 0.3  # the token table's is 0.136


def test_it_says_which_encoder_and_backbone_it_was_made_for(session: onnxruntime.InferenceSession) -> None:
    meta = session.get_modelmeta().custom_metadata_map
    assert meta["space"] == AudioEncoder(ENCODER, n_threads=1).space
    assert len(meta["backbone_sha256"]) == 64
    assert CONNECTOR.stat().st_size < 4_000_000


def test_two_sheep_are_nearer_than_a_sheep_and_thunder(session: onnxruntime.InferenceSession) -> None:
    encoder = AudioEncoder(ENCODER, n_threads=1)
    clips = [encoder.encode(read_audio(SOUNDS / f"{name}.ogg")).data for name in ("sheep-0", "sheep-1", "thunder-0")]
    a, b, c = (np.asarray(session.run(None, {"latents": clip})[0]) for clip in clips)
    assert np.abs(a - b).mean() < np.abs(a - c).mean()

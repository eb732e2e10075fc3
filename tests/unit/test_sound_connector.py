"""The two shipped sound connectors on real latents: shape, scale, and that different sounds give different rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from glasses.encoders.audio import AudioEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.evals.sounds import SOUNDS
from glasses.media import read_audio

ARTIFACTS = Path(__file__).parents[2] / "models" / "artifacts"
AUDIO = AudioEncoder(ARTIFACTS / "whisper-tiny-en-encoder-int8.onnx", n_threads=1)
SOUND = SoundEncoder(ARTIFACTS / "yamnet-int8.onnx", n_threads=1)
BOTH = [("audio-ambience-pocket", AUDIO), ("sound-connector-pocket", SOUND)]
Encoder = AudioEncoder | SoundEncoder


def opened(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(ARTIFACTS / f"{name}.onnx"))


@pytest.mark.parametrize(("name", "width"), [("audio-ambience-pocket", 768), ("sound-connector-pocket", 1024)])
@pytest.mark.parametrize("n_latents", [1, 7, 1500])
def test_any_length_gives_ten_finite_rows_of_token_size(name: str, width: int, n_latents: int) -> None:
    latents = np.abs(np.random.default_rng(0).standard_normal((n_latents, width))).astype(np.float32)
    session = opened(name)
    rows = np.asarray(session.run(None, {"latents": latents})[0])
    assert rows.shape == (10, 576)
    assert np.isfinite(rows).all()
    assert 0.05 < np.sqrt((rows**2).mean()) < 0.3  # the token table's is 0.136


@pytest.mark.parametrize(("name", "encoder"), BOTH)
def test_it_says_which_encoder_and_backbone_it_was_made_for(name: str, encoder: Encoder) -> None:
    meta = opened(name).get_modelmeta().custom_metadata_map
    assert meta["space"] == encoder.space
    assert len(meta["backbone_sha256"]) == 64
    assert ("beside_words" in meta) == (name == "audio-ambience-pocket")


@pytest.mark.parametrize(("name", "encoder"), BOTH)
def test_two_sheep_are_nearer_than_a_sheep_and_thunder(name: str, encoder: Encoder) -> None:
    session = opened(name)
    clips = [encoder.encode(read_audio(SOUNDS / f"{name}.ogg")).data for name in ("sheep-0", "sheep-1", "thunder-0")]
    a, b, c = (np.asarray(session.run(None, {"latents": clip})[0]) for clip in clips)
    assert np.abs(a - b).mean() < np.abs(a - c).mean()

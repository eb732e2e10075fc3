"""The two shipped sound connectors on real latents: shape, scale, and that different sounds give different rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from glasses.audio.sound_files import read_audio
from glasses.connectors.pooled import PooledConnector
from glasses.encoders.audio import AudioEncoder
from glasses.encoders.sound import SoundEncoder
from glasses.errors import ModelError, Reason
from glasses.evaluation.sounds import SOUNDS
from glasses.types import Latents

ARTIFACTS = Path(__file__).parents[3] / "models" / "artifacts"
AUDIO = AudioEncoder(ARTIFACTS / "whisper-tiny-en-encoder-int8.onnx", n_threads=1)
SOUND = SoundEncoder(ARTIFACTS / "yamnet-int8.onnx", n_threads=1)
BOTH = [("audio-ambience-pocket", AUDIO), ("sound-connector-pocket", SOUND)]
Encoder = AudioEncoder | SoundEncoder


def opened(name: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(ARTIFACTS / f"{name}.onnx"))


@pytest.mark.parametrize(("name", "encoder"), BOTH)
@pytest.mark.parametrize("n_latents", [1, 7, 1500])
def test_sound_connector_any_length_gives_ten_finite_rows(name: str, encoder: Encoder, n_latents: int) -> None:
    connector = PooledConnector(ARTIFACTS / f"{name}.onnx", n_threads=1)
    latents = np.abs(np.random.default_rng(0).standard_normal((n_latents, connector.width))).astype(np.float32)
    rows = connector.apply(Latents(0, 0, "sound", latents, encoder.space))
    assert rows.shape == (10, 576)
    assert np.isfinite(rows).all()
    assert 0.05 < np.sqrt((rows**2).mean()) < 0.3  # the token table's is 0.136


def test_sound_connector_reads_audio_latents_of_the_same_window_too() -> None:
    connector = PooledConnector(ARTIFACTS / "sound-connector-pocket.onnx", n_threads=1)
    pairs = [(SOUND.encode(pcm), AUDIO.encode(pcm)) for pcm in map(read_audio, sorted(SOUNDS.glob("bell-*.ogg")))]
    assert max(np.abs(connector.apply(own) - connector.apply(own, beside)).max() for own, beside in pairs) > 0.05
    own, beside = pairs[0]
    with pytest.raises(ModelError) as error:
        connector.apply(own, replace(beside, space="another:0"))
    assert error.value.reason is Reason.WRONG_SPACE


@pytest.mark.parametrize(("name", "encoder"), BOTH)
def test_sound_connector_names_its_encoder_and_backbone(name: str, encoder: Encoder) -> None:
    meta = opened(name).get_modelmeta().custom_metadata_map
    assert meta["space"] == encoder.space
    assert len(meta["backbone_sha256"]) == 64
    assert ("beside_words" in meta) == (name == "audio-ambience-pocket")


@pytest.mark.parametrize(("name", "encoder"), BOTH)
def test_sound_connector_two_sheep_are_nearer_than_a_sheep_and_thunder(name: str, encoder: Encoder) -> None:
    connector = PooledConnector(ARTIFACTS / f"{name}.onnx", n_threads=1)
    clips = [encoder.encode(read_audio(SOUNDS / f"{clip}.ogg")) for clip in ("sheep-0", "sheep-1", "thunder-0")]
    a, b, c = (connector.apply(clip) for clip in clips)
    assert np.abs(a - b).mean() < np.abs(a - c).mean()

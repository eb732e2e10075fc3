"""A bundle opens the modalities that it names: more than the runtime needs, or fewer than it knows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import glasses
from glasses.encoders.sound import SoundEncoder
from glasses.errors import InputError, ModelError, Reason
from glasses.memory.policy import MemoryPolicy
from glasses.model_store import bundles as bundle_files
from glasses.model_store import manifests, store
from glasses.runtime import bundle, modalities
from glasses.runtime.bundle import open_bundle
from glasses.runtime.modalities import MODALITIES, ModalityEntry

# YAMNet and its connector stand for a sensor's: what is tested is where they are named.
RADAR = 'radar_encoder = "yamnet-int8"\nradar_connector = "sound-connector-pocket"\n'


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `pocket` and, the same with a sensor more, `moving`."""
    pocket = (bundle_files.BUNDLES / "pocket.toml").read_text()
    (tmp_path / "pocket.toml").write_text(pocket)
    (tmp_path / "moving.toml").write_text(pocket.replace('name = "pocket"\n', 'name = "moving"\n' + RADAR))
    monkeypatch.setattr(bundle_files, "BUNDLES", tmp_path)
    return tmp_path


@pytest.mark.usefixtures("bundles")
def test_open_bundle_with_a_modality_that_is_not_known_names_file_and_key() -> None:
    with pytest.raises(ModelError, match=r"models/bundles/moving\.toml: radar_encoder: no modality 'radar'") as error:
        open_bundle("moving")
    assert error.value.reason is Reason.BAD_INPUT


@pytest.mark.models
@pytest.mark.usefixtures("bundles")
def test_open_bundle_opens_another_modality_where_the_bundle_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModalityEntry(SoundEncoder, False, "subject", MemoryPolicy(), "How far is it?")
    for module in (bundle, modalities):
        monkeypatch.setattr(module, "MODALITIES", {**MODALITIES, "radar": entry})
    with closing(open_bundle("moving")) as loaded:
        latents = replace(loaded.encoders["radar"].encode(np.zeros(16_000, np.float32)), modality="radar")
        assert glasses.ask(loaded, latents, max_tokens=4)
        assert len(loaded.encode_audio(np.zeros(16_000, np.float32))) == 2, "it is no sound"
    with closing(open_bundle("pocket")) as loaded, pytest.raises(InputError, match="has no modality 'radar'") as error:
        glasses.ask(loaded, latents)
    assert error.value.reason is Reason.BAD_INPUT


@pytest.mark.models
def test_open_bundle_with_a_connector_of_another_encoder_names_file_key_and_spaces(bundles: Path) -> None:
    text = (bundles / "pocket.toml").read_text()
    assert '"image-connector-pocket"' in text
    (bundles / "pocket.toml").write_text(text.replace('"image-connector-pocket"', '"sound-connector-pocket"'))
    told = r"models/bundles/pocket\.toml: image_connector reads latents of yamnet:.* those of efficientnet-lite0:"
    with pytest.raises(ModelError, match=told) as error:
        open_bundle("pocket")
    assert error.value.reason is Reason.WRONG_SPACE


def test_open_connector_of_another_backbone_warns_and_names_the_file(caplog: pytest.LogCaptureFixture) -> None:
    unused = SimpleNamespace()  # a pooled connector mixes no token rows
    own = manifests.load_manifest(store.load_bundle().backbone).files[0].sha256
    bundle.open_connector("sound-connector-pocket", unused, own, 1)  # type: ignore[arg-type]
    assert caplog.messages == []
    bundle.open_connector("sound-connector-pocket", unused, "0" * 64, 1)  # type: ignore[arg-type]
    assert "sound-connector-pocket.onnx: trained for another backbone" in caplog.text

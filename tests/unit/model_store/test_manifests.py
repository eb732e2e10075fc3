"""Manifests and bundles: those of this repository, and wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.errors import Reason
from glasses.model_store import bundles, store
from glasses.runtime.modalities import MODALITIES
from tests.unit.model_store.shelf import describe, refused


def test_manifests_of_this_repository_are_well_formed() -> None:
    for name in store.manifest_names():
        manifest = store.load_manifest(name)
        assert manifest.licence
        assert manifest.upstream
        assert len({file.sha256 for file in manifest.files}) == len(manifest.files)


def test_bundles_name_a_model_of_the_right_role_for_each_key() -> None:
    for name in (path.stem for path in bundles.BUNDLES.glob("*.toml")):
        bundle = store.load_bundle(name)
        assert set(bundle.encoders) <= set(MODALITIES)
        for what, models in (("encoder", bundle.encoders), ("connector", bundle.connectors)):
            assert {one: store.load_manifest(model).role for one, model in models.items()} == {
                one: f"{one}-{what}" for one in bundle.encoders
            }
        for key in ("backbone", "vad", "end_of_turn", "addressee", "memory_intent", "voice"):
            model = getattr(bundle, key)
            assert model is None or store.load_manifest(model).role == key.replace("_", "-")


@pytest.mark.parametrize(
    ("origin", "changed", "reason", "word"),
    [
        ("ftp://host/w.bin", {}, Reason.BAD_INPUT, "unknown source scheme"),
        ("pypi:dist:w.bin", {}, Reason.BAD_INPUT, "pypi:dist==version:path/in/wheel"),
        ("hf:repo:w.bin", {}, Reason.BAD_INPUT, "hf:owner/repo@revision:path"),
        ("file:../../etc/passwd", {}, Reason.BAD_INPUT, "file:relative"),
        ("file:/etc/passwd", {}, Reason.BAD_INPUT, "file:relative"),
        ("file:w.bin", {"name": "../w.bin"}, Reason.BAD_INPUT, "plain file name"),
        ("file:w.bin", {"sha256": "abc"}, Reason.BAD_INPUT, "64 lower-case hex"),
        ("file:w.bin", {"size_bytes": -1}, Reason.BAD_INPUT, "size_bytes"),
        ("file:w.bin", {"size_bytes": 1 << 40}, Reason.TOO_LARGE, "over the cap"),
        ("file:w.bin", {"sise": 1}, Reason.BAD_INPUT, "unknown sise"),
    ],
)
def test_load_manifest_wrong_manifest_is_refused(
    shelf: Path, origin: str, changed: dict[str, object], reason: Reason, word: str
) -> None:
    describe(shelf, origin, changed=changed)
    refused(reason, word)

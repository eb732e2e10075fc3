"""A connector's kind and the roles of its files are checked where its manifest is read; old names still work."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasses.errors import ModelError, Reason
from glasses.model_store import bundles, manifests, store
from glasses.model_store.manifests import CONNECTOR_FILES

FILE = """
[[files]]
name = "{i}.bin"
{role}
size_bytes = 1
sha256 = "{i:064}"
sources = ["file:models/artifacts/x"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path)
    monkeypatch.setattr(bundles, "BUNDLES", tmp_path)
    return tmp_path


def describe(folder: Path, *roles: str, kind: str = "", role: str = "image-connector") -> None:
    told = f'kind = "{kind}"\n' if kind else ""
    head = f'name = "one"\nrole = "{role}"\n{told}licence = "MIT"\nupstream = "nowhere"\n'
    files = [FILE.format(i=i, role=f'role = "{one}"' if one else "") for i, one in enumerate(roles)]
    (folder / "one.toml").write_text(head + "".join(files))


def refusal() -> str:
    with pytest.raises(ModelError) as caught:
        store.load_manifest("one")
    assert caught.value.reason is Reason.BAD_INPUT
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "roles"), [(kind, [*needed, *more]) for kind, (needed, more) in CONNECTOR_FILES.items()]
)
def test_manifest_connector_files_in_any_order_are_told_by_role(folder: Path, kind: str, roles: list[str]) -> None:
    describe(folder, *reversed(roles), kind=kind)
    manifest = store.load_manifest("one")
    assert manifest.kind == kind
    assert [file.role for file in manifest.files] == [*reversed(roles)]


@pytest.mark.parametrize(
    ("kind", "roles", "key"),
    [
        ("magic", ["network"], "kind 'magic'"),
        ("soft-tokens", ["wording", "net"], "files[1].role 'net'"),
        ("soft-tokens", ["wording", "wording"], "files[1].role 'wording' is given twice"),
        ("soft-tokens", ["wording", "adapter"], "none has the role network"),
        ("speech", ["network"], "files[0].role 'network'"),
        ("pooled", [""], "files[0].role ''"),
    ],
)
def test_manifest_connector_wrong_kind_or_role_names_file_key_and_reason(
    folder: Path, kind: str, roles: list[str], key: str
) -> None:
    describe(folder, *roles, kind=kind)
    told = refusal()
    assert "models/manifests/one.toml" in told
    assert key in told


def test_manifest_kind_of_an_encoder_is_refused(folder: Path) -> None:
    describe(folder, "", kind="pooled", role="image-encoder")
    assert "only a connector has one" in refusal()


@pytest.mark.parametrize(("n_files", "kind"), [(1, "pooled"), (2, "soft-tokens"), (3, "soft-tokens"), (5, "speech")])
def test_manifest_written_before_kinds_is_read_with_a_warning(
    folder: Path, n_files: int, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    describe(folder, *[""] * n_files)
    manifest = store.load_manifest("one")
    assert manifest.kind == kind
    roles = [role for group in CONNECTOR_FILES[kind] for role in group]
    if kind == "speech":  # what may be left out today came first
        roles = [*roles[-1:], *roles[:-1]]
    assert [file.role for file in manifest.files] == roles[:n_files]
    assert "kind is missing" in caplog.text


def test_manifest_of_a_voice_before_roles_is_read_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    describe(folder, "", "", role="voice")
    assert [file.role for file in store.load_manifest("one").files] == ["network", "config"]
    assert "roles of the files are missing" in caplog.text


PARTS = "".join(
    f'{one}_{what} = "{one}-{what}"\n' for one in ("audio", "sound", "image") for what in ("encoder", "connector")
)
BUNDLE = f'name = "mine"\nbackbone = "b"\n{PARTS}'


def test_bundle_old_keys_are_accepted_with_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = 'voice_gate = "v"\nturn_end = "e"\nfor_me = "f"\nwishes = "w"\n'
    (folder / "mine.toml").write_text(BUNDLE.replace("audio_connector", "audio_words") + old)
    bundle = store.load_bundle("mine")
    assert (bundle.vad, bundle.end_of_turn, bundle.addressee, bundle.memory_intent) == ("v", "e", "f", "w")
    assert bundle.connectors["audio"] == "audio-connector"
    for key in ("voice_gate", "turn_end", "for_me", "wishes", "audio_words"):
        assert f"mine.toml: {key} is called" in caplog.text


def test_bundle_old_and_new_key_together_are_refused(folder: Path) -> None:
    (folder / "mine.toml").write_text(f'{BUNDLE}vad = "v"\nvoice_gate = "v"\n')
    with pytest.raises(ModelError, match="voice_gate and vad are one key"):
        store.load_bundle("mine")


def test_bundle_with_another_modality_needs_its_encoder_and_connector(folder: Path) -> None:
    (folder / "mine.toml").write_text(f'{BUNDLE}vad = "v"\nimu_encoder = "i"\n')
    with pytest.raises(ModelError, match="lacks imu_connector"):
        store.load_bundle("mine")
    (folder / "mine.toml").write_text(f'{BUNDLE}vad = "v"\nimu_encoder = "i"\nimu_connector = "c"\n')
    bundle = store.load_bundle("mine")
    assert (bundle.encoders["imu"], bundle.connectors["imu"]) == ("i", "c")
    assert bundle.models()[-3:] == ("i", "c", "v")

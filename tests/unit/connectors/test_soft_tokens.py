"""Soft-token connectors, with the pocket backbone in the place of another one: it is on every machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.backbone.prompt_format import CHATML
from glasses.connectors import backbone_adapter
from glasses.connectors.backbone_adapter import BackboneAdapter
from glasses.connectors.pooled import Network, PooledConnector
from glasses.connectors.soft_tokens import SoftTokenConnector
from glasses.connectors.token_mixture import TokenMixture
from glasses.encoders.image import ImageEncoder
from glasses.errors import ModelError, Reason
from glasses.media.pictures import read_image
from glasses.model_store import store
from glasses.types import Float32Array, Latents
from models.recipes import soft_token_wording

MODELS = Path(__file__).parents[3] / "models"
ARTIFACTS, EVAL = MODELS / "artifacts", MODELS / "eval"


class Letters:
    """A backbone whose tokens are letters and whose rows are unit vectors."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        del special
        return [ord(letter) - ord("a") for letter in text]

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        return np.eye(26, dtype=np.float32)[list(ids)]


def test_token_mixture_mixes_the_likeliest_texts_at_each_position() -> None:
    spelling = TokenMixture(["a", "bc", "de", "f"], Letters())
    rows = spelling.rows(np.array([0.1, 0.6, 0.2, 0.1], np.float32), 3)
    assert rows.shape == (2, 26)  # as many tokens as the likeliest has
    expected = np.zeros((2, 26), np.float32)
    expected[0, [0, 1, 3]] = np.array([0.1, 0.6, 0.2]) / 0.9  # "f" is not among the three
    expected[1, [2, 4]] = 0.75, 0.25  # "a" has no second token
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    assert len(spelling.rows(np.array([0.7, 0.1, 0.1, 0.1], np.float32))) == 1


WORDINGS = [("image", soft_token_wording.image()), ("sound", soft_token_wording.sound())]


@pytest.mark.parametrize(("sense", "wording"), WORDINGS)
def test_wording_files_as_shipped_are_what_the_recipe_makes(sense: str, wording: dict[str, object]) -> None:
    assert json.loads((ARTIFACTS / f"{sense}-connector-soft-tokens.json").read_text()) == wording


def test_things_wording_as_shipped_is_what_the_recipe_makes() -> None:
    made = soft_token_wording.things(ARTIFACTS / "nanodet-416-int8.onnx")
    assert json.loads((ARTIFACTS / "things-connector.json").read_text()) == made


def test_desk_bundle_uses_the_encoders_of_the_pocket_bundle() -> None:
    """Otherwise the desk bundle could not be sent the latents of glasses that run the pocket bundle."""
    desk, pocket = store.load_bundle("desk"), store.load_bundle("pocket")
    # Text is letters, whichever encoder reads it, and things stand beside the view.
    assert desk.encoders.items() - pocket.encoders.items() <= {
        ("things", "nanodet-416-int8"),
        ("text", "ppocr-v6-small"),
    }
    for modality in ("sound", "image"):
        ours, theirs = (store.load_manifest(bundle.connectors[modality]) for bundle in (desk, pocket))
        assert ours.files[1].sha256 == theirs.files[0].sha256
    ours, theirs = (store.load_manifest(bundle.connectors["audio"]) for bundle in (desk, pocket))
    assert ours.files[1:] == theirs.files[1:]
    assert store.load_manifest(desk.backbone).role == "backbone"


@pytest.mark.parametrize(("name", "n_regions"), [("image-connector", 5), ("sound-connector", 1)])
def test_soft_token_connector_units_come_with_unchanged_rows(name: str, n_regions: int) -> None:
    wording = json.loads((ARTIFACTS / f"{name}-soft-tokens.json").read_text())
    opened = SoftTokenConnector(ARTIFACTS / f"{name}-soft-tokens.json", ARTIFACTS / f"{name}-pocket.onnx", Plain())
    plain = PooledConnector(ARTIFACTS / f"{name}-pocket.onnx", n_threads=1)
    data = np.random.default_rng(0).standard_normal((49, opened.width)).astype(np.float32)
    latents = Latents(0, 0, "image", data, plain.space)
    network = Network(ARTIFACTS / f"{name}-pocket.onnx", n_threads=1, also=wording["units"])
    units, rows = (network.run(output, latents, None) for output in (wording["units"], "rows"))
    assert units.shape == (n_regions, len(wording["names"]))
    np.testing.assert_allclose(units.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(plain.apply(latents), rows, atol=1e-5)  # other outputs, other fusions
    assert opened.apply(latents).shape[1] == 4
    with pytest.raises(ModelError) as caught:
        opened.apply(Latents(0, 0, "image", data, "other:0"))
    assert caught.value.reason is Reason.WRONG_SPACE


class Plain:
    """A backbone that spells every text with one token."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        del special
        return [len(text)]

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        return np.repeat(np.array(ids, np.float32)[:, None], 4, axis=1)


OURS, SPACE = "5" * 64, f"efficientnet-lite0:{store.load_manifest('efficientnet-lite0-int8').files[0].sha256[:16]}"


def learned_for_plain(**changed: object) -> BackboneAdapter:
    """Of the picture sentence's three texts and two gaps, for rows of four."""
    rng = np.random.default_rng(0)
    prompt_rows = tuple(rng.standard_normal((n, 4)).astype(np.float32) for n in (3, 0, 2))
    values: dict[str, object] = {
        "prompt_rows": prompt_rows,
        "inverse_temperature": np.array([1.5, 0.5], np.float32),
        "down": rng.standard_normal((4, 2)).astype(np.float32),
        "up": rng.standard_normal((2, 4)).astype(np.float32),
    }
    return BackboneAdapter(**{**values, **changed})  # type: ignore[arg-type]


def opened(path: Path | None, sha256: str = OURS) -> SoftTokenConnector:
    wording, units = (ARTIFACTS / f"image-connector-{name}" for name in ("soft-tokens.json", "pocket.onnx"))
    return SoftTokenConnector(wording, units, Plain(), adapter_path=path, backbone_sha256=sha256)


def test_soft_token_connector_adapter_rows_surround_corrected_soft_tokens(tmp_path: Path) -> None:
    mine, path = learned_for_plain(), tmp_path / "learned.npz"
    backbone_adapter.write(path, mine, backbone=OURS, space=SPACE)
    data = np.random.default_rng(0).standard_normal((49, 1280)).astype(np.float32)
    latents = Latents(0, 0, "image", data, SPACE)
    rows, network = (
        opened(path).apply(latents),
        Network(ARTIFACTS / "image-connector-pocket.onnx", n_threads=1, also="n6"),
    )
    units, wording = network.run("n6", latents, None)[0], soft_token_wording.image()
    kind, name = (
        TokenMixture([f" {text}" for text in wording[what]], Plain()).rows(units**power)
        for what, power in (("kinds", 1.5), ("names", 0.5))
    )
    expected = [mine.prompt_rows[0], *(soft + soft @ mine.down @ mine.up for soft in (kind, name)), mine.prompt_rows[2]]
    np.testing.assert_allclose(rows, np.concatenate(expected), rtol=2e-2, atol=2e-2)  # kept as float16
    assert np.linalg.norm(rows[3:5] - np.concatenate([kind, name])) > 1  # and the correction is no small thing here


@pytest.mark.parametrize(
    ("changed", "sha256", "reason"),
    [
        ({}, "6" * 64, Reason.WRONG_SPACE),
        ({"prompt_rows": (np.ones((3, 4)), np.ones((2, 4)))}, OURS, Reason.CORRUPT),  # a text too few
        (
            {"prompt_rows": (np.ones((3, 5)), np.ones((1, 5)), np.ones((1, 5)))},
            OURS,
            Reason.CORRUPT,
        ),  # a wider one's
        ({"inverse_temperature": np.ones(1)}, OURS, Reason.CORRUPT),
        ({"inverse_temperature": np.array([1, 0.0])}, OURS, Reason.CORRUPT),  # would name everything at once
        ({"down": np.ones((4, 3))}, OURS, Reason.CORRUPT),
        ({"up": np.full((2, 4), np.nan)}, OURS, Reason.CORRUPT),
        ({"up": np.ones((2, 400_000))}, OURS, Reason.TOO_LARGE),
    ],
    ids=[
        "other backbone",
        "text too few",
        "wider rows",
        "temperature missing",
        "temperature of zero",
        "down of another shape",
        "nan",
        "too large",
    ],
)
def test_soft_token_connector_adapter_of_another_backbone_is_refused(
    tmp_path: Path, changed: dict[str, object], sha256: str, reason: Reason
) -> None:
    """A damaged adapter is refused as well."""
    path = tmp_path / "learned.npz"
    backbone_adapter.write(path, learned_for_plain(**changed), backbone=OURS, space=SPACE)
    with pytest.raises(ModelError) as caught:
        opened(path, sha256)
    assert caught.value.reason is reason
    assert str(path) in str(caught.value)


def test_soft_token_connector_adapter_of_other_latents_is_refused(tmp_path: Path) -> None:
    backbone_adapter.write(tmp_path / "a.npz", learned_for_plain(), backbone=OURS, space="yamnet:0")
    with pytest.raises(ModelError, match="yamnet:0") as caught:
        opened(tmp_path / "a.npz")
    assert caught.value.reason is Reason.WRONG_SPACE


def test_soft_token_connector_truncated_adapter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "learned.npz"
    backbone_adapter.write(path, learned_for_plain(), backbone=OURS, space=SPACE)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-1], b"PK" + whole[2:200]):
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            opened(path)
        assert caught.value.reason is Reason.CORRUPT
    path.unlink()
    with pytest.raises(ModelError) as caught:
        opened(path)
    assert caught.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("content", ["no json", "[]", '{"units": "n6"}', "\xff"])
def test_soft_token_connector_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wording.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ModelError) as caught:
        SoftTokenConnector(path, ARTIFACTS / "image-connector-pocket.onnx", Plain())
    assert caught.value.reason is Reason.CORRUPT
    path.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ModelError) as caught:
        SoftTokenConnector(path, ARTIFACTS / "image-connector-pocket.onnx", Plain())
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(("part", "wording"), WORDINGS)
def test_desk_bundle_has_adapters_trained_for_its_own_backbone(part: str, wording: dict[str, list[object]]) -> None:
    desk = store.load_bundle("desk")
    name = desk.connectors[part]
    _, units, rows = (store.path_of(name, file.name) for file in store.load_manifest(name).files)
    n_texts = sum(isinstance(one, str) for one in wording["sentence"])
    found = backbone_adapter.read(
        rows,
        backbone=store.load_manifest(desk.backbone).files[0].sha256,
        space=Network(units, n_threads=1).space,
        n_texts=n_texts,
        n_slots=len(wording["sentence"]) - n_texts,
        n_embd=896,
    )
    assert np.linalg.norm(found.down @ found.up) > 0  # it was trained


@pytest.mark.models
def test_soft_token_connector_untrained_backbone_names_what_is_in_view(backbone: LlamaBackbone) -> None:
    encoder = ImageEncoder(store.path_of("efficientnet-lite0-int8"), n_threads=1)
    paths = [ARTIFACTS / name for name in ("image-connector-soft-tokens.json", "image-connector-pocket.onnx")]
    connector = SoftTokenConnector(paths[0], paths[1], backbone, n_threads=1)
    rows = connector.apply(encoder.encode(read_image(EVAL / "pictures" / "cheetah.jpg")))
    backbone.feed(
        [backbone.tokenize(CHATML.prefix(SYSTEM)), rows, backbone.tokenize("What is in view?" + CHATML.suffix)]
    )
    assert "cheetah" in "".join(token.text for token in backbone.generate(0, max_tokens=16))

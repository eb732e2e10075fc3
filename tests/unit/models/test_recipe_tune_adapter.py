"""The recipe of the backbone adapters: it trains what will run, from the token rows the backbone already knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("transformers", reason="the train extra is not installed")

from glasses.connectors import backbone_adapter  # noqa: E402
from glasses.connectors.pooled import Network  # noqa: E402
from glasses.connectors.soft_tokens import SoftTokenConnector  # noqa: E402
from glasses.model_store import store  # noqa: E402
from glasses.types import Float32Array, Latents  # noqa: E402
from models.recipes import adapter_examples, soft_token_wording, tune_adapter  # noqa: E402
from models.recipes.adapter_examples import AdapterExample  # noqa: E402
from models.recipes.sound_units import Pooled  # noqa: E402

pytestmark = pytest.mark.train
ARTIFACTS = Path(__file__).parents[3] / "models" / "artifacts"
NETWORK = ARTIFACTS / "image-connector-pocket.onnx"
N_EMBD, SPACE = 8, f"efficientnet-lite0:{store.load_manifest('efficientnet-lite0-int8').files[0].sha256[:16]}"


class Words:
    """A backbone that spells a word with one token; a made-up row for each."""

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        del special
        return [sum(ord(letter) * 7**i for i, letter in enumerate(word)) % 997 for word in text.split()]

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        rows = np.random.default_rng(0).standard_normal((997, N_EMBD)) * 0.02
        return rows[list(ids)].astype(np.float32)


def latents_of(seed: int) -> Latents:
    data = np.random.default_rng(seed).standard_normal((49, 1280)).astype(np.float32)
    return Latents(0, 0, "image", data, SPACE)


def rows_that_run(latents: Latents, path: Path | None) -> Float32Array:
    files = (ARTIFACTS / "image-connector-soft-tokens.json", NETWORK)
    return SoftTokenConnector(*files, Words(), adapter_path=path, backbone_sha256="a").apply(latents)


def test_tune_adapter_starts_at_the_token_rows_and_ends_at_what_runs(tmp_path: Path) -> None:
    sentence, latents = tune_adapter.Sentence(soft_token_wording.image(), Words()), latents_of(0)
    units = Network(NETWORK, n_threads=1, also="n6").run("n6", latents, None)[0]
    model = tune_adapter.TorchAdapter(sentence)
    with torch.no_grad():
        np.testing.assert_allclose(model.rows(units).numpy(), rows_that_run(latents, None), atol=1e-6)
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.rand(parameter.shape, generator=generator))
        trained = model.rows(units).numpy()
    backbone_adapter.write(tmp_path / "adapter.npz", model.to_adapter(), backbone="a", space=SPACE)
    run = rows_that_run(latents, tmp_path / "adapter.npz")
    assert np.abs(run - rows_that_run(latents, None)).max() > 0.1
    np.testing.assert_allclose(run, trained, atol=2e-3 * np.abs(trained).max())  # float16
    again = tune_adapter.TorchAdapter(sentence)
    tune_adapter.load(again, tmp_path / "adapter.npz", "a", SPACE)
    np.testing.assert_allclose(again.rows(units).detach().numpy(), run, atol=1e-6)


class Nearest:
    """A frozen backbone whose loss is how far the rows' mean is from the reply's."""

    def ids(self, text: str) -> list[int]:
        return Words().tokenize(text)

    def rows(self, text: str) -> Any:
        return torch.from_numpy(Words().token_rows(self.ids(text)))

    def answer_loss(self, prompts: Sequence[Any], replies: Sequence[list[int]]) -> Any:
        wanted = [torch.from_numpy(Words().token_rows(reply)).mean(0) for reply in replies]
        got = [next(part for part in parts if torch.is_tensor(part)).mean(0) for parts in prompts]
        return sum(((a - b) ** 2).sum() for a, b in zip(got, wanted, strict=True)) / len(wanted)


class One:
    """Always the same picture or sound."""

    space = SPACE

    def __init__(self, sense: str, reply: str) -> None:
        self.sense, self.reply = sense, reply

    def batch(self, step: int, size: int) -> list[AdapterExample]:
        del step
        units = np.full(len(tune_adapter.WORDINGS[self.sense]()["names"]), 1e-5)
        units[[3, 7]] = 0.6, 0.3
        return [AdapterExample({self.sense: units.astype(np.float32)}, "", "What is this?", self.reply)] * size

    def held_out(self, n: int) -> list[AdapterExample]:
        return self.batch(0, n)

    def is_right(self, label: str, answer: str) -> bool:
        return label in answer


def test_tune_adapter_all_parameters_move_and_a_stopped_run_resumes(tmp_path: Path) -> None:
    courses = {"image": One("image", "A llama."), "sound": One("sound", "Rain falling.")}

    def fresh() -> Any:
        torch.manual_seed(0)
        return tune_adapter.new_adapters(Words())

    def run(budget: int) -> Any:
        models = fresh()
        tune_adapter.train(models, Nearest(), courses, tmp_path / "a.pt", steps=budget, batch=4, rate=1e-3)
        return models

    run(3)
    moved, start = run(6), fresh()
    assert tune_adapter.training.steps_done(tmp_path / "a.pt") == 6
    for sense, model in moved.items():
        before = start[sense].state_dict()
        assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_tune_adapter_turn_holds_the_other_modality_too() -> None:
    pictures, sounds = (One(sense, sense).batch(0, 40) for sense in ("image", "sound"))
    mixed = adapter_examples.mix_senses(pictures, sounds, 0.5, np.random.default_rng(0))
    assert [one.reply for one in mixed] == ["image"] * 40 + ["sound"] * 40
    orders = {tuple(one.units) for one in mixed[:40]}
    assert orders == {("image",), ("image", "sound"), ("sound", "image")}
    assert 20 < sum(len(one.units) == 2 for one in mixed) < 60
    assert all(
        len(one.units) == 1 for one in adapter_examples.mix_senses(pictures, sounds, 0.0, np.random.default_rng(0))
    )


def test_tune_adapter_classifier_of_a_network_gives_its_units() -> None:
    latents = latents_of(1)
    found = adapter_examples.classifier(NETWORK, soft_token_wording.IMAGE_UNITS)
    pooled = torch.from_numpy(latents.data.mean(axis=0))
    units = torch.softmax((pooled @ found.head.T + found.bias) * found.sharpness, 0).numpy()
    ours = Network(NETWORK, n_threads=1, also=soft_token_wording.IMAGE_UNITS).run(
        soft_token_wording.IMAGE_UNITS, latents, None
    )[0]
    np.testing.assert_allclose(units, ours, atol=1e-4)


def test_tune_adapter_units_of_a_clip_are_found_without_its_package() -> None:
    rng = np.random.default_rng(0)
    y, fold = np.arange(1200) % 3, np.arange(1200) // 3 % 4
    x = rng.standard_normal((1200, 1024 + 2304)).astype(np.float32)  # nothing in common, so nothing to be learned
    pooled = Pooled("sound", x, y, fold, ["dog", "cat", "bird"])
    units = adapter_examples.units_without_their_package(pooled, 6.0)
    np.testing.assert_allclose(units.sum(axis=1), 1, rtol=1e-5)
    assert np.mean(units.argmax(1) == y) < 0.45  # by heart it would be all
    alone = np.where(y == 0, 0, fold)  # every dog is in one fold
    known = adapter_examples.units_without_their_package(Pooled("sound", x, y, alone, pooled.names), 6.0)
    assert np.mean(known[y == 0].argmax(1) == 0) > 0.9


@pytest.mark.parametrize("space", [SPACE])
def test_tune_adapter_held_out_pictures_are_never_learned_from(tmp_path: Path, space: str) -> None:
    names = ["dog", "cat", "teapot", "owl", "street", "", "goat", "horse", "apple", "moon", "wrench", "tower"] * 3
    regions = np.random.default_rng(0).standard_normal((len(names), 5, 1280)).astype(np.float16)
    np.savez(tmp_path / "features.npz", regions=regions, names=np.array(names), space=space)
    course = adapter_examples.Pictures(tmp_path / "features.npz", NETWORK, soft_token_wording.IMAGE_UNITS)
    asked = course.held_out(10)
    out = {one.label for one in asked}
    assert out
    assert out.isdisjoint(course._source.labels)
    assert len(course._source.labels) + len(course._kept) == len(names)
    first, again = course.batch(3, 8), course.batch(3, 8)
    assert [one.reply for one in first] == [one.reply for one in again]
    assert all(one.units["image"].sum() == pytest.approx(1, abs=1e-3) for one in (*first, *asked))
    assert course.is_right("teapot", "A teapot.")
    assert not course.is_right("teapot", "A horse.")

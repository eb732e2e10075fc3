"""Which tool a turn asks for, on the shipped backbone; and the numerics of training another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.tools import row_file, training
from glasses.tools.builtin import BUILTIN
from glasses.tools.choice import ToolChooser
from glasses.tools.row_file import Bank, TrainedRows
from glasses.tools.tool import ToolContext, tool
from glasses.tools.word_net import SPANS, WordNet
from glasses.types import Float32Array

NAMES = [one.name for one in BUILTIN]


@tool(examples=("Water the plants.", "Give the flowers some water.", "Start the sprinkler."))
def water_plants(context: ToolContext) -> str:
    """Waters the plants in the garden."""
    return "They get water."


class Talk:
    """A chooser on a backbone, asked in typed words."""

    def __init__(self, backbone: LlamaBackbone, kept: Path | None = None) -> None:
        self.backbone = backbone
        self.chooser = ToolChooser(backbone, store.path_of("tools-pocket"), kept)

    def asks_for(self, words: str, *, waiting: bool = False, names: list[str] = NAMES) -> str | None:
        rows = self.backbone.token_rows(self.backbone.tokenize(words, special=False))
        chosen = self.chooser.choose(rows, names, waiting=waiting)
        return chosen.name if chosen else None


@pytest.fixture
def talk(backbone: LlamaBackbone) -> Talk:
    return Talk(backbone)


@pytest.mark.models
@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("What time is it?", "time"),
        ("Set a timer for ten minutes.", "set_timer"),
        ("Take a picture.", "take_picture"),
        ("Why do volcanoes erupt?", None),
        ("My sister plays the violin.", None),
    ],
)
def test_choose_of_a_plain_request_names_its_tool(talk: Talk, words: str, name: str | None) -> None:
    assert talk.asks_for(words) == name


@pytest.mark.models
def test_choose_leaves_logits_and_cache_as_they_were(talk: Talk) -> None:
    ids = talk.backbone.tokenize("Set a timer for ten minutes.", special=False)
    talk.backbone.rollback(0)
    talk.backbone.feed([ids])
    logits, cache = talk.backbone.logits().copy(), talk.backbone.snapshot().kv
    assert talk.chooser.choose(talk.backbone.token_rows(ids), NAMES)
    assert np.array_equal(talk.backbone.logits(), logits)
    assert talk.backbone.snapshot().kv == cache


@pytest.mark.models
def test_choose_of_yes_and_no_counts_only_while_something_waits(talk: Talk) -> None:
    assert [talk.asks_for(words, waiting=True) for words in ("Yes, please.", "No, don't.")] == ["confirm", "decline"]
    assert talk.asks_for("Yes, please.") is None
    assert talk.asks_for("What time is it?", waiting=True) == "time"


@pytest.mark.models
def test_choose_without_rows_is_none(talk: Talk) -> None:
    assert talk.chooser.choose(np.zeros((0, talk.backbone.n_embd), np.float32), NAMES) is None


@pytest.mark.models
def test_choose_names_only_tools_that_are_there(talk: Talk) -> None:
    assert talk.asks_for("What time is it?", names=["mute"]) in (None, "mute")


@pytest.mark.models
def test_train_makes_a_tool_choosable_and_is_kept(backbone: LlamaBackbone, tmp_path: Path) -> None:
    kept = tmp_path / "rows.npz"
    talk, names = Talk(backbone, kept), [*NAMES, "water_plants"]
    assert talk.chooser.untrained([*BUILTIN, water_plants])[-1] is water_plants
    talk.chooser.train(water_plants)
    assert water_plants not in talk.chooser.untrained([water_plants])
    again = Talk(backbone, kept)
    assert again.asks_for("Please water the plants.", names=names) == "water_plants"
    assert again.asks_for("What is the capital of France?", names=names) is None
    again.chooser.remove("water_plants")
    assert not kept.exists()


@pytest.mark.models
def test_chooser_with_rows_of_another_backbone_refuses(backbone: LlamaBackbone, tmp_path: Path) -> None:
    rows = TrainedRows("0" * 16, ("time",), np.zeros((1, 4), np.float32), np.zeros(1, np.float32))
    net = WordNet(np.zeros((8, 4), np.float32), np.zeros(4, np.float32), *_layers(4))
    row_file.write(tmp_path / "rows.npz", rows.arrays() | net.arrays())
    with pytest.raises(ModelError) as refused:
        ToolChooser(backbone, tmp_path / "rows.npz")
    assert refused.value.reason is Reason.WRONG_SPACE


def _layers(d: int) -> tuple[tuple[Float32Array, ...], tuple[Float32Array, ...]]:
    rng = np.random.default_rng(3)
    filters = tuple(rng.standard_normal((span * d, d)).astype(np.float32) for span in SPANS)
    return filters, tuple(np.zeros(d, np.float32) for _ in SPANS)


def test_word_net_values_do_not_depend_on_the_length_of_rows_and_survive_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = WordNet(rng.standard_normal((8, 4)).astype(np.float32), np.zeros(4, np.float32), *_layers(4))
    rows = rng.standard_normal((5, 8)).astype(np.float32)
    assert net.values(rows).shape == (net.width,) == (16,)
    assert np.allclose(net.values(rows), net.values(rows * np.float32(7)), atol=1e-5)
    assert not np.allclose(net.values(rows), net.values(rows[::-1]), atol=1e-2)
    assert net.values(rows[:1]).shape == (16,)
    row_file.write(tmp_path / "net.npz", net.arrays())
    assert np.allclose(row_file.read_net(tmp_path / "net.npz").values(rows), net.values(rows), atol=2e-2)


def test_fit_row_separates_new_wordings_from_those_of_the_bank() -> None:
    rng = np.random.default_rng(0)
    base = TrainedRows("", ("a",), np.eye(1, 40, dtype=np.float32), np.array([-1.0], np.float32))
    values = rng.standard_normal((300, 40)).astype(np.float32)
    bank = Bank(values, np.full(300, -1, np.int16))
    new = rng.standard_normal((40, 40)).astype(np.float32) + 5 * np.eye(8, 40, dtype=np.float32)[3]
    row, bias = training.fit_row(base, bank, new[:20])
    assert (new[20:] @ row + bias > 0).mean() > 0.6
    assert (values @ row + bias > 0).mean() < 0.02


def test_bank_survives_a_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32)
    row_file.write(tmp_path / "bank.npz", row_file.bank_arrays(Bank(values, np.arange(30, dtype=np.int16) - 1)))
    back = row_file.read_bank(tmp_path / "bank.npz")
    assert np.abs(back.values - values).max() < 0.02
    assert back.wanted.tolist() == list(range(-1, 29))


def test_wordings_say_what_examples_and_description_ask_for() -> None:
    said = training.wordings(water_plants)
    assert {"Water the plants.", "start the sprinkler", "Can you water the plants in the garden?"} <= set(said)
    assert len(said) == len(set(said)) <= training.MAX_WORDINGS


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"space": "x"}, Reason.CORRUPT),
        ({"space": "x", "names": ["a"], "rows": np.full((1, 3), np.nan), "bias": [0.0]}, Reason.CORRUPT),
        ({"space": "x", "names": ["a", "b"], "rows": np.zeros((1, 3)), "bias": [0.0]}, Reason.CORRUPT),
    ],
)
def test_read_of_a_file_that_is_no_rows_says_so(tmp_path: Path, arrays: dict[str, Any], reason: Reason) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(ModelError) as refused:
        row_file.read(tmp_path / "rows.npz")
    assert refused.value.reason is reason


def test_read_of_a_cut_or_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as missing:
        row_file.read(tmp_path / "none.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ModelError) as cut:
        row_file.read(tmp_path / "cut.npz")
    assert (missing.value.reason, cut.value.reason) == (Reason.NOT_FOUND, Reason.CORRUPT)

"""Which tool a turn asks for, on the shipped backbone; and the numerics of training another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.errors import ModelError, Reason
from glasses.model_store import store
from glasses.tools import row_file, training
from glasses.tools.builtin import BUILTIN
from glasses.tools.choice import ToolChooser
from glasses.tools.row_file import Bank, TrainedRows
from glasses.tools.tool import ToolContext, tool

NAMES = [one.name for one in BUILTIN]


@tool(examples=("Water the plants.", "Give the flowers some water.", "Start the sprinkler."))
def water_plants(context: ToolContext) -> str:
    """Waters the plants in the garden."""
    return "They get water."


class Talk:
    """A backbone at the end of the system prompt, and a chooser."""

    def __init__(self, backbone: LlamaBackbone, kept: Path | None = None) -> None:
        self.backbone = backbone
        backbone.rollback(0)
        backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
        self.n_prefix = backbone.n_past
        self.chooser = ToolChooser(backbone, self.n_prefix, store.path_of("tools-pocket"), kept)

    def feed(self, words: str) -> int:
        self.backbone.rollback(self.n_prefix)
        ids = self.backbone.tokenize(words, special=False)
        self.backbone.feed([ids, self.backbone.tokenize(self.backbone.prompt_format.suffix)])
        return len(ids)

    def asks_for(self, words: str, *, waiting: bool = False, names: list[str] = NAMES) -> str | None:
        chosen = self.chooser.choose(self.feed(words), names, waiting=waiting)
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
    n_user = talk.feed("Set a timer for ten minutes.")
    logits, n_past = talk.backbone.logits().copy(), talk.backbone.n_past
    assert talk.chooser.choose(n_user, NAMES)
    assert talk.backbone.n_past == n_past
    assert np.array_equal(talk.backbone.logits(), logits)
    first = [token.token_id for token in talk.backbone.generate(1, max_tokens=6)]
    talk.feed("Set a timer for ten minutes.")
    assert [token.token_id for token in talk.backbone.generate(1, max_tokens=6)] == first


@pytest.mark.models
def test_choose_names_only_tools_that_are_there(talk: Talk) -> None:
    assert talk.asks_for("What time is it?", names=["mute"]) in (None, "mute")


@pytest.mark.models
def test_train_makes_a_tool_choosable_and_is_kept(backbone: LlamaBackbone, tmp_path: Path) -> None:
    kept = tmp_path / "rows.npz"
    talk, names = Talk(backbone, kept), [*NAMES, "water_plants"]
    assert talk.chooser.untrained([*BUILTIN, water_plants])[-1] is water_plants
    n_past = talk.backbone.n_past
    talk.chooser.train(water_plants)
    assert talk.backbone.n_past == n_past
    assert water_plants not in talk.chooser.untrained([water_plants])
    again = Talk(backbone, kept)
    assert again.asks_for("Please water the plants.", names=names) == "water_plants"
    assert again.asks_for("What is the capital of France?", names=names) is None
    again.chooser.remove("water_plants")
    assert not kept.exists()


@pytest.mark.models
def test_chooser_with_rows_of_another_backbone_refuses(backbone: LlamaBackbone, tmp_path: Path) -> None:
    rows = TrainedRows("0" * 16, ("time",), np.zeros((1, 4), np.float32), np.zeros(1, np.float32))
    row_file.write(tmp_path / "rows.npz", rows.arrays())
    with pytest.raises(ModelError) as refused:
        ToolChooser(backbone, 0, tmp_path / "rows.npz")
    assert refused.value.reason is Reason.WRONG_SPACE


def test_fit_row_separates_new_wordings_from_those_of_the_bank() -> None:
    rng = np.random.default_rng(0)
    base = TrainedRows("", ("a",), np.eye(1, 40, dtype=np.float32), np.array([-1.0], np.float32))
    values = rng.standard_normal((300, 40)).astype(np.float32)
    basis = np.eye(8, 40, dtype=np.float32)
    bank = Bank(
        basis, np.zeros(8, np.float32), values @ basis.T, values @ base.rows.T + base.bias, np.full(300, -1, np.int16)
    )
    new = rng.standard_normal((40, 40)).astype(np.float32) + 4 * np.eye(8, 40, dtype=np.float32)[3]
    row, bias = training.fit_row(base, bank, new[:20])
    assert (new[20:] @ row + bias > 0).mean() > 0.8
    assert (values @ row + bias > 0).mean() < 0.05


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

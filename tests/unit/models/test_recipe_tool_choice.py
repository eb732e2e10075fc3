"""The recipe of the tool choice: what is shipped computes what was trained, and heard words are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from glasses.connectors.soft_decoder import SoftSubword  # noqa: E402
from models.recipes import tool_choice, tool_choice_data, tool_choice_speech  # noqa: E402
from models.recipes.tool_choice_data import Data  # noqa: E402
from models.recipes.tool_choice_speech import Heard  # noqa: E402
from models.recipes.tool_choice_wordings import Wording  # noqa: E402

pytestmark = pytest.mark.train

NAMES = ["confirm", "decline", "time", "unable"]
N_ROWS, N_EMBD = 200, 112


def toy() -> Data:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_ROWS, N_EMBD)).astype(np.float32)
    rows[0] = 0
    rows[1:] /= np.sqrt(np.square(rows[1:]).mean(axis=1, keepdims=True))
    places = [rng.integers(1, N_ROWS, int(rng.integers(1, 9))).tolist() for _ in range(60)]
    is_held_out, is_heard = np.arange(60) % 3 == 0, np.arange(60) >= 30
    words = [[([one], f"w{one}") for one in place] for place in places[:30]]
    return Data(
        places, torch.tensor(rows), N_ROWS - 1, NAMES, torch.tensor(np.arange(60) % 5), is_held_out, is_heard, words,
        {"w7": [range(3, 5)]}, [],
    )  # fmt: skip


def test_rows_of_two_networks_side_by_side_are_the_mean_of_their_scores() -> None:
    data = toy()
    nets = [tool_choice.Net(data).eval() for _ in range(2)]
    net, rows = tool_choice.net_of(nets), tool_choice.rows_of(nets, data, "")
    values = tool_choice.values_of(net, data, range(4))
    with torch.no_grad():
        trained = np.mean([one(*data.batch(data.places[:4])).numpy() for one in nets], axis=0)
    shift = rows.scores(values[0]) - (trained[0, :-1] - trained[0, -1])  # the thresholds
    for i in range(4):
        assert np.allclose(rows.scores(values[i]) - shift, trained[i, :-1] - trained[i, -1], atol=1e-3)


def test_as_heard_replaces_words_by_what_they_were_heard_as() -> None:
    data, rng = toy(), np.random.default_rng(0)
    data.words[0][:] = [([1], "w1"), ([7], "w7")]
    assert data.as_heard(0, rng, 1.0) == [1, 3, 4]
    assert data.as_heard(0, rng, 0.0) == [1, 7]


def test_shards_survive_a_file(tmp_path: Path) -> None:
    decoded = [SoftSubword(np.array([3, 1]), np.array([0.75, 0.25], np.float32))]
    silent = Heard(Wording("Hush.", "stop", -1, "train"), [], np.ones((2, 4), np.float32))
    spoken = Heard(Wording("Time?", "time", -1, "train"), decoded, np.zeros((2, 4), np.float32))
    tool_choice_speech.write_shard(tmp_path / "train-000.npz", [silent, spoken])
    back = list(tool_choice_speech.read_shards(tmp_path))
    assert [(one.wording, len(one.decoded)) for one in back] == [(silent.wording, 0), (spoken.wording, 1)]
    assert back[1].decoded[0].subwords.tolist() == [3, 1]
    assert np.allclose(back[1].decoded[0].probabilities, [0.75, 0.25])


def test_matches_tells_which_subwords_a_word_was_heard_as() -> None:
    texts = [" Set", " a", " tie", "mer", "."]
    decoded = [SoftSubword(np.array([i]), np.ones(1, np.float32)) for i in range(5)]
    heard = Heard(Wording("Set a timer.", "set_timer", -1, "train"), decoded, np.zeros((0, 0), np.float32))
    assert list(tool_choice_data._matches(heard, texts)) == [("set", 0, 1), ("a", 1, 2), ("timer", 2, 5)]

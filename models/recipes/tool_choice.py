"""Trains what chooses a tool, for the backbone of one bundle: see models/cards/tools-pocket.md. Needs torch.

    python -m models.recipes.tool_choice_speech heard
    python -m models.recipes.tool_choice --bundle pocket --heard heard --out models/artifacts
    python -m models.refresh tools-pocket

It reads the backbone's token rows only, so it takes minutes of one core, whatever the size of the backbone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from glasses.model_store import store
from glasses.tools import row_file
from glasses.tools.choice import CONFIRM, DECLINE
from glasses.tools.row_file import Bank, TrainedRows
from glasses.tools.word_net import SPANS, WordNet
from glasses.types import Float32Array
from models.recipes.tool_choice_data import Data, padded, read
from models.recipes.tool_choice_wordings import NONE

WIDTH = 96
NOTHING, UNABLE_DRAWN = 0.38, 0.14  # of the wordings drawn
HEARD, REHEARD = 0.35, 0.5  # of the wordings drawn, spoken; of the others, changed to what may be heard
A_EPOCH, BATCH = 9000, 64
N_NOISE = 20_000  # rows of noise, drawn once: they cost as much as the network else
# Shares of the lines of dev.txt that need no tool which may call one, or `unable`, or be an answer while one is waited
# for: of the typed lines and of the heard ones.
FALSE, UNABLE_FALSE, ANSWER_FALSE = 0.025, 0.025, 0.03
UNABLE = "unable"
N_EXAMPLES = 1300  # in the bank
N_NETS = 2  # whose scores are averaged


class Net(nn.Module):
    """`glasses.tools.word_net` as it is trained, and a row for each tool and for nothing over it."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        rows = data.rows[1 : data.n_tokens + 1].numpy()
        middle = rows.mean(axis=0)
        _, sizes, axes = np.linalg.svd(rows - middle, full_matrices=False)
        first = axes[:WIDTH].T / (sizes[:WIDTH] / np.sqrt(len(rows))) / 2  # principal components, of length 1/2
        self.project = nn.Linear(rows.shape[1], WIDTH)
        self.project.weight.data = torch.tensor(first.T.copy(), dtype=torch.float32)
        self.project.bias.data = torch.tensor(-(middle @ first), dtype=torch.float32)
        self.spans = nn.ModuleList([nn.Conv1d(WIDTH, WIDTH, span, padding=span - 1) for span in SPANS])
        self.out = nn.Linear(WIDTH * (len(SPANS) + 1), len(data.names) + 1)
        self.dropout = nn.Dropout(0.3)

    def values(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Values (b, width) of rows (b, n, n_embd); `mask` (b, n) is 0 behind a wording's end."""
        words = (self.project(rows) * mask[..., None]).transpose(1, 2)
        found = [functional.relu(span(words)).amax(2) for span in self.spans]
        return torch.cat([*found, words.sum(2) / mask.sum(1, keepdim=True)], dim=1)

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.dropout(self.values(rows, mask)))


def drawn(data: Data, index: Any, noise: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Rows and mask of some wordings, typed ones partly as they may be heard, with wrong words and rows a bit off."""
    places = [
        data.as_heard(i, rng, rng.uniform(0.3, 1)) if i < len(data.words) and rng.random() < REHEARD else data.places[i]
        for i in index
    ]
    table = padded(places)
    there = table > 0
    wrong = (torch.rand(table.shape) < 0.05) & there & (there.sum(1, keepdim=True) > 3)
    table = torch.where(wrong, torch.randint(1, data.n_tokens + 1, table.shape), table)
    mask = there.float()
    return data.rows[table] + 0.15 * noise[torch.randint(len(noise), table.shape)] * mask[..., None], mask


def train(data: Data, epochs: int, *, seed: int = 1) -> Net:
    """Nothing is drawn NOTHING of the time and `unable`, which is the widest, UNABLE_DRAWN; each other tool as often as
    every other.
    """
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), Net(data)
    noise = torch.randn(N_NOISE, data.rows.shape[1])
    index = np.flatnonzero(~data.is_held_out)
    wanted, n = data.wanted.numpy()[index], len(data.names)
    count = np.bincount(wanted, minlength=n + 1)
    share = np.full(n + 1, (1 - NOTHING - UNABLE_DRAWN) / (n - 1))
    share[n], share[data.names.index(UNABLE)] = NOTHING, UNABLE_DRAWN
    weight = (share / count.clip(1))[wanted]
    heard = data.is_heard[index]
    weight = np.where(heard, HEARD / weight[heard].sum(), (1 - HEARD) / weight[~heard].sum()) * weight
    slow, fast = net.project.parameters(), [*net.spans.parameters(), *net.out.parameters()]
    optimizer = torch.optim.AdamW([{"params": slow, "lr": 3e-4}, {"params": fast, "lr": 2e-3}], weight_decay=0.02)
    n_steps = epochs * A_EPOCH // BATCH
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, step / 100) * max(0.02, 1 - step / n_steps)
    )
    for step in range(n_steps):
        some = index[rng.choice(len(index), BATCH, p=weight / weight.sum())]
        loss = functional.cross_entropy(net(*drawn(data, some, noise, rng)), data.wanted[torch.tensor(some)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 199:
            print(f"{step + 1} of {n_steps}: {loss.item():.3f}", flush=True)
    return net.eval()


def values_of(net: WordNet, data: Data, index: Any) -> Float32Array:
    """Values (m, width) of some wordings."""
    return np.stack([net.values(data.rows[data.places[i]].numpy()) for i in index])


def rows_of(nets: Sequence[Net], data: Data, space: str) -> TrainedRows:
    """A row for each tool over the values of `net_of`, against that of nothing: the mean of the networks' scores; with
    the thresholds that FALSE and the others set on lines not trained on.
    """
    weight, bias = _side_by_side([net.out.weight for net in nets]), np.mean([_numpy(net.out.bias) for net in nets], 0)
    rows = TrainedRows(space, tuple(data.names), weight[:-1] - weight[-1:], bias[:-1] - bias[-1])
    held_out = np.flatnonzero(data.is_held_out)
    wanted = data.wanted.numpy()[held_out]
    scores = values_of(net_of(nets), data, held_out) @ rows.rows.T + rows.bias
    unable, waiting = data.names.index(UNABLE), [data.names.index(CONFIRM), data.names.index(DECLINE)]
    tools = [i for i in range(len(data.names)) if i not in waiting]
    silent, heard = wanted == len(data.names), data.is_heard[held_out]
    shift = np.zeros(len(data.names), np.float32)
    for group, false in (([i for i in tools if i != unable], FALSE), ([unable], UNABLE_FALSE), (waiting, ANSWER_FALSE)):
        highest = scores[:, group].max(axis=1)
        shift[group] = max(np.quantile(highest[silent & some], 1 - false) for some in (heard, ~heard))
    for title, some in (("typed", ~data.is_heard[held_out]), ("heard", data.is_heard[held_out])):
        _report(title, scores[some] - shift, wanted[some], data.names)
    return TrainedRows(space, rows.names, rows.rows, rows.bias - shift)


def _report(title: str, scores: Float32Array, wanted: Any, names: Sequence[str]) -> None:
    nothing, waiting = len(names), [names.index(CONFIRM), names.index(DECLINE)]
    answers = np.isin(wanted, waiting)
    scores = scores.copy()
    scores[:, waiting] = np.where(answers[:, None], scores[:, waiting], -1)  # answers to nothing do not count
    best = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), nothing)
    unable, none = wanted == names.index(UNABLE), wanted == nothing
    kinds = {"right": ~unable & ~none & ~answers, "unable": unable, "yes and no": answers, "none": none}
    print(f"dev.txt, {title}: " + ", ".join(
        f"{name} {(best == wanted)[some].mean():.4f} of {some.sum()}" for name, some in kinds.items()
    ), flush=True)  # fmt: skip
    called = [*names, NONE]
    wrong = [f"{called[a]} -> {called[b]}" for a, b in zip(wanted, best, strict=True) if a != b]
    print(sorted({(wrong.count(one), one) for one in wrong}, reverse=True)[:20], flush=True)


def net_of(nets: Sequence[Net]) -> WordNet:
    """Networks side by side, as they are shipped: one whose filters read the numbers of their own network only."""
    d = WIDTH * len(nets)
    filters = [np.zeros((span, d, d), np.float32) for span in SPANS]
    for j, net in enumerate(nets):
        own = slice(j * WIDTH, (j + 1) * WIDTH)
        for all_, one in zip(filters, net.spans.children(), strict=True):
            all_[:, own, own] = _numpy(one.weight).transpose(2, 1, 0)  # (out, in, k) -> (k, in, out)
    return WordNet(
        np.concatenate([_numpy(net.project.weight).T for net in nets], axis=1),
        np.concatenate([_numpy(net.project.bias) for net in nets]),
        tuple(one.reshape(-1, d) for one in filters),
        tuple(
            np.concatenate([_numpy(span.bias) for span in some])
            for some in zip(*(net.spans.children() for net in nets), strict=True)
        ),
    )


def _side_by_side(weights: Sequence[Tensor]) -> Float32Array:
    """Weights (k, width) of the networks' values as those (k, n * width) of their mean over `net_of`'s values."""
    parts = np.stack([_numpy(one).reshape(len(one), -1, WIDTH) for one in weights], axis=2) / len(weights)
    return parts.reshape(len(weights[0]), -1).astype(np.float32)


def _numpy(tensor: Any) -> Float32Array:
    return tensor.detach().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE)
    parser.add_argument("--heard", type=Path, required=True, help="folder of models.recipes.tool_choice_speech")
    parser.add_argument("--epochs", type=int, default=16, help=f"of {A_EPOCH} wordings")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bundle = store.load_bundle(args.bundle)
    space = store.load_manifest(bundle.backbone).files[0].sha256[:16]
    data = read(args.bundle, args.heard)
    nets = [train(data, args.epochs, seed=seed) for seed in range(1, N_NETS + 1)]
    net, rows = net_of(nets), rows_of(nets, data, space)
    few = np.random.default_rng(2).choice(np.flatnonzero(~data.is_held_out), N_EXAMPLES, replace=False)
    wanted = np.where(data.wanted.numpy() == len(data.names), -1, data.wanted.numpy())[few]
    bank = Bank(values_of(net, data, few), wanted.astype(np.int16))
    path = args.out / f"tools-{args.bundle}.npz"
    row_file.write(path, {**net.arrays(), **rows.arrays(), **row_file.bank_arrays(bank)})
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

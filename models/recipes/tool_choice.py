"""Trains what chooses a tool, for the backbone of one bundle: see models/cards/tools-pocket.md. Needs torch.

    python -m models.recipes.tool_choice --bundle pocket --out models/artifacts
    python -m models.refresh tools-pocket

It reads the backbone's token rows only, so it takes a minute of one core, whatever the size of the backbone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from glasses.backbone.llama import LlamaBackbone
from glasses.model_store import store
from glasses.tools import row_file
from glasses.tools.choice import CONFIRM, DECLINE
from glasses.tools.row_file import Bank, TrainedRows
from glasses.tools.word_net import SPANS, WordNet
from glasses.types import Float32Array
from models.recipes.tool_choice_wordings import NONE, development, wordings

WIDTH = 96
NOTHING, UNABLE_DRAWN = 0.38, 0.14  # of the wordings drawn
A_EPOCH, BATCH = 9000, 64
FALSE, UNABLE_FALSE = 0.003, 0.003  # shares of the lines of dev.txt that need no tool which may call one, and `unable`
UNABLE = "unable"
MOST_EXAMPLES = 2600  # in the bank


@dataclass(frozen=True, slots=True)
class Data:
    """Wordings as indices into `rows` (tokens that occur + 1, n_embd), whose first row is no token; and what they are.

    `wanted` is an index into `names`, or len(names) for nothing. `is_held_out` marks the lines of dev.txt.
    """

    ids: Tensor
    rows: Tensor
    names: list[str]
    wanted: Tensor
    is_held_out: Any
    sources: list[str]


def read(bundle: str) -> Data:
    """The wordings, by the tokens of a bundle's backbone."""
    found = list({(one.words, one.tool): one for seed in (1, 2) for one in wordings(10**6, seed=seed)}.values())
    found += development()
    path = store.path_of(store.load_bundle(bundle).backbone)
    with LlamaBackbone(path, n_threads=1, n_ctx=32) as backbone:
        ids = [backbone.tokenize(one.words, special=False) for one in found]
        tokens = sorted({token for one in ids for token in one})
        rows = np.asarray(backbone.token_rows(tokens), np.float32)
    rows = rows / np.sqrt(np.square(rows).mean(axis=1, keepdims=True))
    number = {token: i + 1 for i, token in enumerate(tokens)}
    table = np.zeros((len(ids), max(map(len, ids))), np.int64)
    for i, one in enumerate(ids):
        table[i, : len(one)] = [number[token] for token in one]
    names = sorted({one.tool for one in found} - {NONE})
    wanted = [names.index(one.tool) if one.tool != NONE else len(names) for one in found]
    held_out = np.array([one.source == "dev" for one in found])
    none = np.zeros((1, rows.shape[1]), np.float32)
    return Data(
        torch.tensor(table), torch.tensor(np.concatenate([none, rows])), names, torch.tensor(wanted), held_out,
        [one.source for one in found],
    )  # fmt: skip


class Net(nn.Module):
    """`glasses.tools.word_net` as it is trained, and a row for each tool and for nothing over it."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        rows = data.rows[1:].numpy()
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


def batch(data: Data, index: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and mask of some wordings."""
    ids = data.ids[index]
    ids = ids[:, : int((ids > 0).sum(1).max())]
    return data.rows[ids], (ids > 0).float()


def noisy(data: Data, index: Tensor, rng: np.random.Generator, *, with_ambience: bool) -> tuple[Tensor, Tensor]:
    """As `batch`, with wrong words, rows that are a little off as soft tokens are, and rows of ambience before them."""
    rows, mask = batch(data, index)
    wrong = (torch.rand(mask.shape) < 0.06) & (mask > 0) & (mask.sum(1, keepdim=True) > 3)
    rows = torch.where(wrong[..., None], data.rows[torch.randint(1, len(data.rows), mask.shape)], rows)
    rows = rows + 0.15 * torch.randn_like(rows) * mask[..., None]
    if with_ambience and rng.random() < 0.3:
        n = int(rng.integers(1, 5))
        rows = torch.cat([torch.randn(len(rows), n, rows.shape[2]), rows], dim=1)
        mask = torch.cat([torch.ones(len(mask), n), mask], dim=1)
    return rows, mask


def train(data: Data, epochs: int, *, with_ambience: bool, seed: int = 1) -> Net:
    """Nothing is drawn NOTHING of the time and `unable`, which is the widest, UNABLE_DRAWN; each other tool as often as
    every other.
    """
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), Net(data)
    index = np.flatnonzero(~data.is_held_out)
    wanted, n = data.wanted.numpy()[index], len(data.names)
    count = np.bincount(wanted, minlength=n + 1)
    share = np.full(n + 1, (1 - NOTHING - UNABLE_DRAWN) / (n - 1))
    share[n], share[data.names.index(UNABLE)] = NOTHING, UNABLE_DRAWN
    weight = (share / count.clip(1))[wanted]
    slow, fast = net.project.parameters(), [*net.spans.parameters(), *net.out.parameters()]
    optimizer = torch.optim.AdamW([{"params": slow, "lr": 3e-4}, {"params": fast, "lr": 2e-3}], weight_decay=0.02)
    n_steps = epochs * A_EPOCH // BATCH
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, step / 100) * max(0.02, 1 - step / n_steps)
    )
    for step in range(n_steps):
        drawn = torch.tensor(index[rng.choice(len(index), BATCH, p=weight / weight.sum())])
        rows, mask = noisy(data, drawn, rng, with_ambience=with_ambience)
        loss = functional.cross_entropy(net(rows, mask), data.wanted[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 199:
            print(f"{step + 1} of {n_steps}: {loss.item():.3f}", flush=True)
    return net.eval()


@torch.no_grad()
def values_of(net: Net, data: Data, index: Any) -> Float32Array:
    """Values (m, width) of some wordings."""
    parts = [net.values(*batch(data, torch.tensor(index[i : i + 256]))) for i in range(0, len(index), 256)]
    return torch.cat(parts).numpy()


def rows_of(net: Net, data: Data, space: str) -> TrainedRows:
    """A row for each tool, against that of nothing, with the threshold that FALSE sets on lines not trained on."""
    weight, bias = net.out.weight.detach().numpy(), net.out.bias.detach().numpy()
    rows = TrainedRows(space, tuple(data.names), weight[:-1] - weight[-1:], bias[:-1] - bias[-1])
    held_out = np.flatnonzero(data.is_held_out)
    wanted = data.wanted.numpy()[held_out]
    scores = values_of(net, data, held_out) @ rows.rows.T + rows.bias
    unable, waiting = data.names.index(UNABLE), [data.names.index(CONFIRM), data.names.index(DECLINE)]
    tools = [i for i in range(len(data.names)) if i not in waiting]
    silent = scores[wanted == len(data.names)]
    shift = np.zeros(len(data.names), np.float32)
    for group, false in (([i for i in tools if i != unable], FALSE), ([unable], UNABLE_FALSE), (waiting, FALSE)):
        shift[group] = float(np.quantile(silent[:, group].max(axis=1), 1 - false))
    _report(scores - shift, wanted, data.names, tools)
    return TrainedRows(space, rows.names, rows.rows, rows.bias - shift)


def _report(scores: Float32Array, wanted: Any, names: Sequence[str], tools: Sequence[int]) -> None:
    scores = scores[:, tools]
    best = np.where(scores.max(axis=1) > 0, np.array(tools)[scores.argmax(axis=1)], len(names))
    unable, none = wanted == names.index(UNABLE), wanted == len(names)
    calls = np.isin(wanted, tools) & ~unable
    print(f"dev.txt: right {(best == wanted)[calls].mean():.4f} of {calls.sum()}, unable "
          f"{(best == wanted)[unable].mean():.4f} of {unable.sum()}, "
          f"false {(best[none] < len(names)).mean():.4f} of {none.sum()}")  # fmt: skip
    kinds = [*names, NONE]
    wrong = [f"{kinds[a]} -> {kinds[b]}" for a, b in zip(wanted, best, strict=True) if a != b]
    print(sorted({(wrong.count(one), one) for one in wrong}, reverse=True)[:30])


def net_of(net: Net) -> WordNet:
    """The network as it is shipped."""
    return WordNet(
        net.project.weight.detach().numpy().T.copy(),
        net.project.bias.detach().numpy(),
        tuple(
            span.weight.detach().numpy().transpose(2, 1, 0).reshape(-1, WIDTH) for span in net.spans.children()
        ),  # (out, in, k) -> (k * in, out)
        tuple(span.bias.detach().numpy() for span in net.spans.children()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE)
    parser.add_argument("--epochs", type=int, default=14, help=f"of {A_EPOCH} wordings")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bundle = store.load_bundle(args.bundle)
    space = store.load_manifest(bundle.backbone).files[0].sha256[:16]
    data = read(args.bundle)
    net = train(data, args.epochs, with_ambience=bundle.audio_ambience is not None)
    rows = rows_of(net, data, space)
    few = np.random.default_rng(2).choice(np.flatnonzero(~data.is_held_out), MOST_EXAMPLES, replace=False)
    wanted = np.where(data.wanted.numpy() == len(data.names), -1, data.wanted.numpy())[few]
    bank = Bank(values_of(net, data, few), wanted.astype(np.int16))
    path = args.out / f"tools-{args.bundle}.npz"
    row_file.write(path, {**net_of(net).arrays(), **rows.arrays(), **row_file.bank_arrays(bank)})
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

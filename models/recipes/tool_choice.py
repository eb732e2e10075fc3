"""Trains the rows that choose a tool, for one bundle: see models/cards/tools-pocket.md.

    python -m models.recipes.tool_choice typed --bundle pocket --out typed.npz
    python -m models.recipes.tool_choice fit --features typed.npz spoken.npz --bundle pocket --out models/artifacts

The backbone reads every wording once, and what its words left in the KV cache is kept; no gradient passes through it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasses.backbone import deep_rows
from glasses.backbone.kv_values import last_values
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.prompt import SYSTEM
from glasses.model_store import store
from glasses.tools import row_file
from glasses.tools.choice import CONFIRM, DECLINE
from glasses.types import Float32Array
from models.recipes.tool_choice_wordings import NONE, Wording, wordings

FALSE = 0.007  # share of wordings that ask for nothing which may call a tool; sets the threshold
FOLDS = 4
N_COMPONENTS = 128


def chosen(most: int, n_none: int) -> list[Wording]:
    """At most `most` wordings of each tool and `n_none` others, of as many lines as possible, in a random order."""
    seen: set[int] = set()
    first, more = list[Wording](), list[Wording]()
    for one in wordings(10**6):
        (more if one.group in seen else first).append(one)
        seen.add(one.group)
    out, count = list[Wording](), dict[str, int]()
    for one in (*first, *more):
        count[one.tool] = count.get(one.tool, 0) + 1
        if count[one.tool] <= (n_none if one.tool == NONE else most):
            out.append(one)
    random.Random(5).shuffle(out)
    return out


def typed(bundle: str, found: Sequence[Wording], n_threads: int) -> Iterable[Float32Array]:
    """The values (n_values,) of each wording, as a first turn."""
    path = store.path_of(store.load_bundle(bundle).backbone)
    with LlamaBackbone(path, n_threads=n_threads, n_ctx=512) as backbone:
        backbone.feed([backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))])
        n_prefix = backbone.n_past
        for one in found:
            ids = backbone.tokenize(one.words, special=False)
            backbone.rollback(n_prefix)
            backbone.feed([ids])
            yield deep_rows.turn_values(last_values(backbone.snapshot().kv, backbone.n_past, len(ids)))


def save(path: Path, found: Sequence[Wording], values: Iterable[Float32Array]) -> None:
    """Writes the values of wordings as float16, with what they are."""
    rows, since_s = list[np.ndarray[Any, Any]](), time.monotonic()
    for i, one in enumerate(values):
        rows.append(one.astype(np.float16))
        if i % 100 == 99:
            print(f"{i + 1} of {len(found)}, {time.monotonic() - since_s:.0f} s", flush=True)
    labels = json.dumps([[one.words, one.tool, one.group, one.source] for one in found])
    np.savez(path, values=np.stack(rows), labels=np.array(labels))


def load(paths: Sequence[Path]) -> tuple[Float32Array, list[Wording]]:
    """What `save` wrote, of several files."""
    values, found = list[Float32Array](), list[Wording]()
    for path in paths:
        with np.load(path) as file:
            values.append(file["values"].astype(np.float32))
            found += [Wording(*one) for one in json.loads(str(file["labels"]))]
    return np.concatenate(values), found


def fit(values: Float32Array, wanted: Any, n: int) -> tuple[Float32Array, Float32Array]:
    """Rows (n, n_values) and biases (n,)."""
    deep, _ = deep_rows.fit(values, wanted, n)
    return deep[:, :-1], deep[:, -1]


def out_of_fold(values: Float32Array, wanted: Any, groups: Any, n: int) -> Float32Array:
    """The scores (m, n) of each wording by rows that were trained without any wording of its line."""
    fold = np.array([hash((7, int(g))) % FOLDS for g in groups])
    scores = np.zeros((len(values), n), np.float32)
    for k in range(FOLDS):
        rows, bias = fit(values[fold != k], wanted[fold != k], n)
        scores[fold == k] = values[fold == k] @ rows.T + bias
    return scores


def bank(values: Float32Array, scores: Float32Array, wanted: Any) -> dict[str, Any]:
    """What another tool is trained against (see row_file)."""
    middle, spread = values.mean(axis=0), values.std(axis=0) + np.float32(1e-3)
    even = (values - middle) / spread
    sizes, vectors = np.linalg.eigh(even @ even.T)
    n = min(N_COMPONENTS, len(even))
    vectors, sizes = vectors[:, ::-1][:, :n], sizes[::-1][:n].clip(1e-3)
    basis = (even.T @ (vectors / np.sqrt(sizes))).T / spread
    scale = np.abs(basis).max(axis=1) / 127
    small = np.round(basis / scale[:, None]).astype(np.int8)
    bias = -(small * scale[:, None]) @ middle
    components = values @ (small * scale[:, None]).T + bias
    step = float(np.abs(components).max(axis=0).mean()) / 127
    return {
        "basis": small, "basis_scale": scale.astype(np.float32), "basis_bias": bias.astype(np.float32),
        "examples": np.clip(np.round(components / step), -127, 127).astype(np.int8),
        "example_scale": np.array(step, np.float32), "example_scores": scores.astype(np.float16),
        "wanted": wanted.astype(np.int16),
    }  # fmt: skip


def threshold(scores: Float32Array, is_none: Any, waiting: Sequence[int]) -> tuple[float, float]:
    """How far the biases go down, of tools and of confirm and decline, so that FALSE of what asks for none calls."""
    tools = [i for i in range(scores.shape[1]) if i not in waiting]
    one = float(np.quantile(scores[is_none][:, tools].max(axis=1), 1 - FALSE))
    other = float(np.quantile(scores[is_none][:, list(waiting)].max(axis=1), 1 - FALSE)) if waiting else 0.0
    return max(0.0, one), max(0.0, other)


def report(scores: Float32Array, wanted: Any, names: Sequence[str], found: Sequence[Wording]) -> None:
    """Prints what is chosen rightly by source, and the pairs that are taken for each other most."""
    best = np.where(scores.max(axis=1) > 0, scores.argmax(axis=1), -1)
    for source in sorted({one.source for one in found}):
        here = np.array([one.source == source for one in found])
        calls, none = here & (wanted >= 0), here & (wanted < 0)
        right = (best == wanted)[calls].mean() if calls.any() else np.nan
        print(f"{source}: right {right:.3f} of {calls.sum()}, false {(best[none] >= 0).mean():.4f} of {none.sum()}")
    mixed: dict[tuple[str, str], int] = {}
    for is_, should in zip(best, wanted, strict=True):
        if is_ != should:
            pair = (NONE if should < 0 else names[should], NONE if is_ < 0 else names[is_])
            mixed[pair] = mixed.get(pair, 0) + 1
    print(sorted(mixed.items(), key=lambda one: -one[1])[:25])


def train(values: Float32Array, found: Sequence[Wording], space: str) -> dict[str, Any]:
    """The arrays of a row file."""
    names = sorted({one.tool for one in found} - {NONE})
    waiting = [names.index(name) for name in (CONFIRM, DECLINE) if name in names]
    wanted = np.array([names.index(one.tool) if one.tool != NONE else -1 for one in found])
    scores = out_of_fold(values, wanted, [one.group for one in found], len(names))
    down, down_waiting = threshold(scores, wanted < 0, waiting)
    shift = np.full(len(names), down, np.float32)
    shift[waiting] = down_waiting
    report(scores - shift, wanted, names, found)
    rows, bias = fit(values, wanted, len(names))
    trained = row_file.TrainedRows(space, tuple(names), rows, bias - shift)
    return trained.arrays() | bank(values, scores - shift, wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("typed", "fit"))
    parser.add_argument("--bundle", default=store.DEFAULT_BUNDLE)
    parser.add_argument("--features", type=Path, nargs="+", default=[])
    parser.add_argument("--most", type=int, default=80, help="wordings of each tool")
    parser.add_argument("--none", type=int, default=1900, help="wordings that ask for none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.step == "typed":
        found = chosen(args.most, args.none)
        save(args.out, found, typed(args.bundle, found, args.threads))
        return
    values, found = load(args.features)
    space = store.load_manifest(store.load_bundle(args.bundle).backbone).files[0].sha256[:16]
    path = args.out / f"tools-{args.bundle}.npz"
    row_file.write(path, train(values, found, space))
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

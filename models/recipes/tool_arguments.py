"""Trains the heads that find a tool's arguments in a request (glasses.tools.spans), for the backbone of a bundle.

    python -m models.recipes.tool_arguments --bundle pocket --out models/artifacts/arguments-pocket.npz

Typed requests become token rows; with `--spoken` they are spoken by synthetic voices too and go through the bundle's
own encoder and speech connector. Debian: flite. No gradient goes through the backbone.
"""

from __future__ import annotations

import argparse
import difflib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glasses.evaluation.degrade import with_noise
from glasses.runtime import prompt
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.tools import spans
from glasses.tools.builtin import BUILTIN
from glasses.tools.kinds import arguments_of
from glasses.tools.said import SaidWord, Speller
from glasses.tools.spans import SpanHeads, change_features, sentence_features, word_features
from glasses.types import SAMPLE_RATE_HZ, Float32Array
from glasses.wake_word_training.voices import flite
from models.recipes.tool_wordings import CANCELLING, CHANGING, Wording, wordings

COMPONENTS = 320  # principal components of the features; more only learn the training's words
L2 = 0.003
SENTENCE_L2 = 0.01
CHANGE_L2 = 0.003
SAME_HEAD = {"morning": "when", "day": "when"}  # kinds that are worded alike


@dataclass(frozen=True, slots=True)
class Example:
    """A wording as the backbone read it: the features of its words, and for each word the kind it is of."""

    wording: Wording
    said: list[SaidWord]
    features: NDArray[np.float16]
    marks: dict[str, np.ndarray]  # kind: bool (3, words)
    change: Float32Array | None = None  # of a request to turn something up or down


def read_typed(loaded: LoadedBundle, speller: Speller, wording: Wording) -> Example:
    """A request as it is typed."""
    ids = loaded.backbone.tokenize(wording.words, special=False)
    rows = loaded.backbone.token_rows(ids)
    said = speller.words(rows)
    features = read_rows(loaded, rows, said)
    return Example(wording, said, features, marks_of(wording), read_change(loaded, rows, wording.tool))


def read_spoken(loaded: LoadedBundle, speller: Speller, wording: Wording, rng: random.Random) -> Example | None:
    """A request as it is heard; None where nothing is, or where its arguments can not be told from the rest."""
    pcm = voiced(wording.words, rng)
    inputs = [np.asarray(one) for one in prompt.request_of(loaded, loaded.encode_audio(pcm))]
    rows = np.concatenate([one for one in inputs if one.ndim == 2])
    said = speller.words(rows)
    marks = heard_marks(wording, said)
    if marks is None:
        return None
    features = read_rows(loaded, rows, said)
    return Example(wording, said, features, marks, read_change(loaded, rows, wording.tool))


def voiced(text: str, rng: random.Random) -> Float32Array:
    """A sentence as a microphone hears it; every other one in noise."""
    pcm = np.pad(flite(text, rng), (round(rng.uniform(0.1, 0.3) * SAMPLE_RATE_HZ), 3200))
    return with_noise(pcm) if rng.random() < 0.5 else pcm


def heard_marks(wording: Wording, said: Sequence[SaidWord]) -> dict[str, np.ndarray] | None:
    """`marks_of` for the words that were heard; None where an argument begins or ends within what was misheard."""
    typed = [_plain(wording.words[a:b]) for a, b in wording.word_places()]
    heard = [_plain(word.text) for word in said]
    at: dict[int, int] = {}  # boundary between typed words: that between heard ones
    for what, i, i_end, j, j_end in difflib.SequenceMatcher(None, typed, heard, autojunk=False).get_opcodes():
        at |= {i: j, i_end: j_end} if what != "insert" or i not in at else {}
        if i_end - i == j_end - j:
            at |= {i + n: j + n for n in range(i_end - i)}
    out: dict[str, np.ndarray] = {}
    for kind, marks in marks_of(wording).items():
        out[kind] = np.zeros((spans.MARKS, len(said)), bool)
        for first in np.flatnonzero(marks[0]):
            last = next(n for n in np.flatnonzero(marks[2]) if n >= first)
            begin, end = at.get(int(first)), at.get(int(last) + 1)
            if begin is None or end is None or begin >= end:
                return None
            out[kind][0, begin] = out[kind][2, end - 1] = True
            out[kind][1, begin:end] = True
    return out


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def read_rows(loaded: LoadedBundle, rows: Float32Array, said: Sequence[SaidWord]) -> NDArray[np.float16]:
    """The features of a turn's words as they are when its answer would begin."""
    loaded.backbone.rollback(loaded.n_prefix)
    loaded.backbone.feed([rows, prompt.suffix_of(loaded.backbone)])
    return word_features(loaded.backbone, rows, said).astype(np.float16)


def read_change(loaded: LoadedBundle, rows: Float32Array, tool: str) -> Float32Array | None:
    """What is read of a request to turn something up or down, None for another tool; after `read_rows`."""
    return change_features(loaded.backbone, rows, tool.rpartition("_")[2]) if tool in CHANGING else None


def marks_of(wording: Wording) -> dict[str, np.ndarray]:
    """Where each kind of argument begins, is and ends, word by word."""
    places = wording.word_places()
    out: dict[str, np.ndarray] = {}
    for kind, first, last in wording.spans:
        marks = out.setdefault(kind, np.zeros((spans.MARKS, len(places)), bool))
        at = [i for i, (a, b) in enumerate(places) if b > first and a < last]
        marks[0, at[0]] = marks[2, at[-1]] = True
        marks[1, at] = True
    return out


def kinds_of_tools() -> dict[str, set[str]]:
    """The kinds of the arguments of each tool."""
    out = {}
    for tool in BUILTIN:
        kinds = {one.kind for one in arguments_of(tool.arguments) if one.kind}
        out[tool.name] = {SAME_HEAD.get(kind, kind) for kind in kinds}
    return out


class Components:
    """Principal components of features, by the Gram matrix of some of them."""

    def __init__(self, features: Float32Array, n: int) -> None:
        self.mean: Float32Array = features.mean(axis=0)
        self.spread: Float32Array = (features.std(axis=0) + 1e-3).astype(np.float32)
        chosen = np.random.default_rng(0).permutation(len(features))[:4000]
        even = ((features[chosen] - self.mean) / self.spread).astype(np.float32)
        sizes, vectors = np.linalg.eigh((even @ even.T).astype(np.float64))
        n = min(n, int((sizes > 1e-5 * sizes[-1]).sum()))
        sizes, vectors = sizes[::-1][:n], vectors[:, ::-1][:, :n]
        self.directions = (even.T @ (vectors / np.sqrt(sizes))).astype(np.float32)
        self.scale = np.float32(np.sqrt(sizes.mean() / len(chosen)))

    def of(self, features: Float32Array) -> Float32Array:
        return (((features - self.mean) / self.spread) @ self.directions / self.scale).astype(np.float32)

    def unfolded(self, weights: Any) -> Any:
        """Weights (n + 1,) of components, the bias last, as weights of the features themselves."""
        out = (self.directions @ weights[:-1]) / self.scale / self.spread
        return np.append(out, weights[-1] - out @ self.mean)


def logistic(x: Float32Array, labels: np.ndarray, l2: float) -> Any:
    """Weights and bias of a logistic regression with a Gaussian prior, by Newton's method."""
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)
    w, y = np.zeros(ones.shape[1]), labels.astype(np.float64)
    prior = np.full(ones.shape[1], l2 * len(x))
    prior[-1] = 1e-9
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(ones @ w, -30, 30)))
        hessian = (ones * (p * (1 - p))[:, None]).T @ ones + np.diag(prior + 1e-6)
        step = np.linalg.solve(hessian, ones.T @ (p - y) + prior * w)
        w -= step
        if np.abs(step).max() < 1e-4:
            break
    return w


def fit(examples: Sequence[Example], space: str) -> SpanHeads:
    """The heads of all kinds. A kind learns from the requests of tools that take it, and from no others."""
    of_tool = kinds_of_tools()
    features = np.concatenate([one.features for one in examples]).astype(np.float32)
    components = Components(features, COMPONENTS)
    projected = np.split(components.of(features), np.cumsum([len(one.said) for one in examples])[:-1])
    kinds = sorted({kind for one in examples for kind in one.marks})
    of_words = []
    for kind in kinds:
        chosen = [i for i, one in enumerate(examples) if kind in of_tool.get(one.wording.tool, one.marks)]
        x = np.concatenate([projected[i] for i in chosen])
        none = [np.zeros((spans.MARKS, len(examples[i].said)), bool) for i in chosen]
        marks = np.concatenate([examples[i].marks.get(kind, no) for i, no in zip(chosen, none, strict=True)], axis=1)
        of_words.append([components.unfolded(logistic(x, marks[n], L2)) for n in range(spans.MARKS)])
        print(f"{kind}: {len(chosen)} requests", flush=True)
    return SpanHeads(
        space,
        tuple(kinds),
        np.array(of_words, np.float16),
        np.array(_fit_all(examples), np.float16),
        np.array(_fit_changes(examples), np.float16),
    )


def _fit_all(examples: Sequence[Example]) -> Any:
    chosen = [one for one in examples if one.wording.tool in CANCELLING]
    features = np.stack([sentence_features(one.features.astype(np.float32)) for one in chosen])
    components = Components(features, COMPONENTS)
    labels = np.array([one.wording.asked == "all" for one in chosen])
    return components.unfolded(logistic(components.of(features), labels, SENTENCE_L2))


def _fit_changes(examples: Sequence[Example]) -> list[Any]:
    pairs = [(one.change, one.wording.asked) for one in examples if one.change is not None]
    features = np.stack([change for change, _ in pairs])
    components = Components(features, COMPONENTS)
    x = components.of(features)
    asked = np.array([name for _, name in pairs])
    return [components.unfolded(logistic(x, asked == name, CHANGE_L2)) for name in spans.CHANGES]


def examples_of(loaded: LoadedBundle, *, held_out: bool, times: int, spoken: bool = False) -> Iterator[Example]:
    """Requests as they are typed, or as they are heard."""
    speller, rng = Speller(loaded.backbone), random.Random(1)
    for i, wording in enumerate(wordings(held_out=held_out, times=times, seed=2 if spoken else 1)):
        one = read_spoken(loaded, speller, wording, rng) if spoken else read_typed(loaded, speller, wording)
        if one:
            yield one
        if i % 100 == 99:
            print(f"{i + 1} requests read", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="pocket")
    parser.add_argument("--times", type=int, default=2, help="how often each request is taken, with other fillers")
    parser.add_argument("--spoken", type=int, default=1, help="how often each is spoken as well")
    parser.add_argument("--all", action="store_true", help="train on the held-out third as well, as what is shipped is")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    loaded = open_bundle(args.bundle, n_threads=1)
    train = list(examples_of(loaded, held_out=False, times=args.times))
    train += examples_of(loaded, held_out=False, times=args.spoken, spoken=True) if args.spoken else []
    if args.all:
        train += examples_of(loaded, held_out=True, times=1)
        train += examples_of(loaded, held_out=True, times=1, spoken=True) if args.spoken else []
    fit(train, loaded.backbone.sha256[:16]).save(args.out)
    loaded.close()


if __name__ == "__main__":
    main()

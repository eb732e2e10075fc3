"""What the choice of a tool is trained on: wordings as rows of one backbone, as they are typed and as they were heard.

A typed wording can be made one that is heard: each of its words is replaced by what the same word was heard as in some
spoken wording, rightly or wrongly.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glasses.backbone.llama import LlamaBackbone
from glasses.connectors.speech import SubwordMixture
from glasses.model_store import store
from glasses.types import Float32Array
from models.recipes import tool_choice_wordings
from models.recipes.tool_choice_speech import Heard, read_shards, subwords
from models.recipes.tool_choice_wordings import NONE, Wording, development, plain, wordings

MOST_WORDS = 3  # that one word may be heard as


@dataclass(frozen=True, slots=True)
class Data:
    """Wordings as numbers of `rows` (n, n_embd), which begin with one that is no row at all.

    `wanted` is an index into `names`, or len(names) for nothing. `is_held_out` marks the lines of dev.txt, `is_heard`
    what was spoken. `words` has, of each typed wording, the rows of each word and its plain letters; `sounds` what
    these letters were heard as; `ambience` the rows that stood before spoken words.
    """

    places: list[list[int]]
    rows: Tensor
    n_tokens: int
    names: list[str]
    wanted: Tensor
    is_held_out: Any
    is_heard: Any
    words: list[list[tuple[list[int], str]]]
    sounds: dict[str, list[range]]
    ambience: list[range]

    def batch(self, places: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows (b, n, n_embd) of some wordings, and a mask (b, n) that is 0 behind their ends."""
        table = padded(places)
        return self.rows[table], (table > 0).float()

    def as_heard(self, i: int, rng: np.random.Generator, share: float) -> list[int]:
        """The typed wording `i` as it may be heard: `share` of the words that were heard before are as they were."""
        out: list[int] = []
        if self.ambience:
            out += self.ambience[rng.integers(len(self.ambience))]
        for typed, word in self.words[i]:
            sounds = self.sounds.get(word)
            out += sounds[rng.integers(len(sounds))] if sounds and rng.random() < share else typed
        return out


def padded(places: Sequence[Sequence[int]]) -> Tensor:
    """A table (b, n) of wordings, with zeros behind their ends."""
    table = np.zeros((len(places), max(map(len, places))), np.int64)
    for i, one in enumerate(places):
        table[i, : len(one)] = one
    return torch.from_numpy(table)


def read(bundle: str, folder: Path) -> Data:
    """The wordings by the tokens of a bundle's backbone, and those of a folder by what was heard."""
    found = list({(one.words, one.tool): one for seed in (1, 2) for one in wordings(10**6, seed=seed)}.values())
    found += development()
    heard = list(_usable(read_shards(folder), found))
    opened = store.load_bundle(bundle)
    with LlamaBackbone(store.path_of(opened.backbone), n_threads=1, n_ctx=32) as backbone:
        tokens = _Tokens(backbone)
        places = [tokens.of(one.words) for one in found]
        words = [
            [(tokens.of(f" {word}" if i else word), plain(word)) for i, word in enumerate(one.words.split())]
            for one in found
        ]
        typed = np.asarray(backbone.token_rows(tokens.ids), np.float32)
        texts = subwords()
        mixture = SubwordMixture(texts, backbone)
        spoken = [_parts(one, mixture) for one in heard]
    n_typed, names = len(found), sorted({one.tool for one in found} - {NONE})
    sounds, ambience, parts, at = defaultdict[str, list[range]](list), list[range](), [typed], len(typed) + 1
    for one, some in zip(heard, spoken, strict=True):
        before = one.ambience if opened.audio_ambience is not None else one.ambience[:0]
        ends = at + len(before) + np.cumsum([0, *map(len, some)])
        parts += [before, *some] if len(before) else some
        places.append(list(range(at, int(ends[-1]))))
        if len(before):
            ambience.append(range(at, at + len(before)))
        if one.wording.source != "dev":
            for word, first, last in _matches(one, texts):
                sounds[word].append(range(int(ends[first]), int(ends[last])))
        at = int(ends[-1])
    rows = np.concatenate(parts)
    rows /= np.sqrt(np.square(rows).mean(axis=1, keepdims=True)) + np.float32(1e-9)
    found += [one.wording for one in heard]
    wanted = [names.index(one.tool) if one.tool != NONE else len(names) for one in found]
    return Data(
        places, torch.tensor(np.concatenate([np.zeros_like(rows[:1]), rows])), len(typed), names, torch.tensor(wanted),
        np.array([one.source == "dev" for one in found]), np.arange(len(found)) >= n_typed, words, dict(sounds),
        ambience,
    )  # fmt: skip


class _Tokens:
    """Numbers tokens as they come, from 1 on."""

    def __init__(self, backbone: LlamaBackbone) -> None:
        self._backbone, self._numbers = backbone, dict[int, int]()

    @property
    def ids(self) -> list[int]:
        return list(self._numbers)

    def of(self, words: str) -> list[int]:
        ids = self._backbone.tokenize(words, special=False)
        return [self._numbers.setdefault(one, len(self._numbers) + 1) for one in ids]


def _usable(heard: Iterable[Heard], found: Sequence[Wording]) -> Iterator[Heard]:
    """What was heard as words, and is still where it was: no training wording that is in dev.txt or held out by now;
    for the tool that it asks for by now.
    """
    dev, held_out = {plain(one.words) for one in development()}, tool_choice_wordings.held_out()
    tools = defaultdict[str, set[str]](set)
    for one in found:
        tools[plain(one.words)].add(one.tool)
    for one in heard:
        words, wording = plain(one.wording.words), one.wording
        if one.decoded and words not in held_out and (words in dev) == (wording.source == "dev"):
            now = tools.get(words, {wording.tool})
            yield one if wording.tool in now else replace(one, wording=replace(wording, tool=min(now)))


def _parts(heard: Heard, mixture: SubwordMixture) -> list[Float32Array]:
    """The rows of each sub-word."""
    first = mixture.rows(heard.decoded[:1])
    return [first, *(mixture.rows([heard.decoded[0], one])[len(first) :] for one in heard.decoded[1:])]


def _matches(heard: Heard, texts: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Words of the wording, and the sub-words, first and one behind the last, that they were heard as."""
    said = heard.wording.words.split()
    likeliest = [texts[int(one.subwords[0])] for one in heard.decoded]
    begins = [i for i, text in enumerate(likeliest) if i == 0 or (text[:1] == " " and text.strip(" .,?!"))]
    ends = [*begins[1:], len(likeliest)]
    got = [plain("".join(likeliest[a:b])) for a, b in zip(begins, ends, strict=True)]
    matcher = difflib.SequenceMatcher(None, [plain(word) for word in said], got, autojunk=False)
    for what, i, i_end, j, j_end in matcher.get_opcodes():
        if what == "equal" or (what == "replace" and i_end - i == j_end - j):
            for n in range(i_end - i):
                yield plain(said[i + n]), begins[j + n], ends[j + n]
        elif what == "replace" and i_end - i == 1 and j_end - j <= MOST_WORDS:
            yield plain(said[i]), begins[j], ends[j_end - 1]

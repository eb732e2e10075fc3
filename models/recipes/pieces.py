"""The backbone's tokens that the speech connector may emit, and how text is cut into them. Knows no sound.

The backbone's own merges are replayed, but a merge is allowed only if its result is frequent in the training text. A
rare word falls apart into pieces that were each heard often, so every word can be emitted and every emitted row has
been trained.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

SPACE = "\u0120"  # how byte-level BPE writes a leading space


class Pieces:
    """`ids[i]` is the backbone token of piece i; `encode` cuts a sentence, every word with its leading space."""

    def __init__(self, tokenizer: Any, allowed: Iterable[str]) -> None:
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.strings = sorted(set(allowed))
        self.ids = [model["vocab"][s] for s in self.strings]
        self._index = {s: i for i, s in enumerate(self.strings)}
        self._cut = lru_cache(maxsize=200_000)(self._cut_word)

    def _cut_word(self, word: str) -> tuple[int, ...]:
        parts = list(word)
        while len(parts) > 1:
            options = [
                (rank, i)
                for i in range(len(parts) - 1)
                if parts[i] + parts[i + 1] in self._index
                and (rank := self._ranks.get((parts[i], parts[i + 1]))) is not None
            ]
            if not options:
                break
            _, i = min(options)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        return tuple(self._index[part] for part in parts)

    def encode(self, sentence: str) -> list[int]:
        """Returns piece indices; the final . or ? is a piece of its own. Nothing said is no piece."""
        if not sentence:
            return []
        words, end = sentence[:-1].split(), sentence[-1]
        return [piece for word in words for piece in self._cut(SPACE + word)] + [self._index[end]]

    @classmethod
    def learn(cls, tokenizer: Any, sentences: Iterable[str], *, min_count: int) -> Pieces:
        """Keeps the tokens met at least `min_count` times when the sentences are cut by the full tokenizer.

        Prefixes on the way to a kept token are kept as well, or its merges could not be replayed.
        """
        counts: Counter[str] = Counter()
        for sentence in sentences:
            counts.update(tokenizer.tokenize("".join(" " + word for word in sentence[:-1].split())))
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'"
        kept = {s for s, n in counts.items() if n >= min_count}
        kept |= set(letters) | {SPACE, ".", "?"}
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        made_of = {a + b: (a, b) for a, b in reversed(merges)}
        todo = list(kept)
        while todo:
            for part in made_of.get(todo.pop(), ()):
                if part not in kept:
                    kept.add(part)
                    todo.append(part)
        return cls(tokenizer, kept)

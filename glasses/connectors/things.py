"""The connector of things with a place: latents of what is in view -> rows of the backbone that list it.

Things of one kind stand together: how many, what, and on which side each is. What a thing is and where it is are soft
tokens (`glasses.connectors.token_mixture`): a thing that may be a horse or a dog is given as the point between the two
names, one across the middle as the point between the sides. The rows are the backbone's own and need no training.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glasses.connectors.pooled import check_space
from glasses.connectors.question_kind import QuestionKind
from glasses.connectors.soft_tokens import read
from glasses.connectors.token_mixture import TokenMixture, TokenRowSource
from glasses.errors import ModelError, Reason
from glasses.media.things import N_CLASSES, WIDTH, Thing, unpacked
from glasses.types import Float32Array, Latents, frozen

N_SIDES = 3  # left, middle, right: thirds of the picture
_LISTS = {"names": N_CLASSES, "plurals": N_CLASSES, "sides": N_SIDES}
_TEXTS = ("before", "between", "open", "and", "close", "after")


class ThingsConnector:
    """Latents (n, WIDTH) -> rows (m, n_embd); none where nothing was found. `space` is the encoder's."""

    def __init__(self, wording: Path, backbone: TokenRowSource) -> None:
        """`wording` (JSON): the encoder's `space`; the `names`, `plurals`, `numbers` and `sides`; the texts between;
        questions `about_things` and `about_others`.

        Raises ModelError: TOO_LARGE, CORRUPT.
        """
        held = read(wording, {"space", "numbers", "about_things", "about_others", *_LISTS, *_TEXTS})
        for key, n in _LISTS.items():
            if len(held[key]) != n:
                raise ModelError(Reason.CORRUPT, f"{wording}: {len(held[key])} {key}, expected {n}")
        self.width, self.space = WIDTH, str(held["space"])
        self._numbers: list[str] = held["numbers"]
        self._backbone = backbone
        self._mixtures = {
            key: TokenMixture([f" {text}" for text in held[key]], backbone) for key in ("names", "plurals")
        }
        self._sides = TokenMixture(held["sides"], backbone)
        self._rows_of: dict[str, Float32Array] = {}
        self._texts: dict[str, Any] = {key: held[key] for key in _TEXTS}
        self._about_things = QuestionKind(held["about_things"], held["about_others"], backbone)

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        """Returns the rows. Raises ModelError(WRONG_SPACE).

        `companion` is accepted as by every connector and not used.
        """
        del companion
        check_space(latents, self.space)
        things = unpacked(latents.data)
        parts = list(self._listed(things)) if things else []
        return frozen(np.concatenate(parts) if parts else self._backbone.token_rows([]))

    def is_about_things(self, rows: Float32Array) -> bool:
        """Whether rows (n, n_embd) of a request ask where, how many, or whether something is there."""
        return self._about_things.is_asked(rows)

    def _listed(self, things: list[Thing]) -> Iterator[Float32Array]:
        for i, alike in enumerate(_kinds(things)):
            yield self._said(self._texts["between" if i else "before"])
            yield self._said(" " + self._numbers[min(len(alike), len(self._numbers)) - 1])
            classes = np.mean([one.classes for one in alike], axis=0)
            yield self._mixtures["plurals" if len(alike) > 1 else "names"].rows(classes)
            for j, one in enumerate(alike):
                yield self._said(self._texts["and" if j else "open"])
                yield self._sides.rows(sides_of(one))
            yield self._said(self._texts["close"])
        yield self._said(self._texts["after"])

    def _said(self, text: str) -> Float32Array:
        if text not in self._rows_of:
            self._rows_of[text] = self._backbone.token_rows(self._backbone.tokenize(text, special=False))
        return self._rows_of[text]


def _kinds(things: list[Thing]) -> list[list[Thing]]:
    """Things with the same likeliest class, in the order of the first of each."""
    kinds: dict[int, list[Thing]] = {}
    for one in things:
        kinds.setdefault(int(one.classes.argmax()), []).append(one)
    return list(kinds.values())


def sides_of(thing: Thing) -> Float32Array:
    """How much of the thing lies in each third of the picture's width (3,), summing to 1; more of it counts twice."""
    x, _, width, _ = thing.box
    edges = np.linspace(0, 1, N_SIDES + 1)
    low, high = np.maximum(edges[:-1], x - width / 2), np.minimum(edges[1:], x + width / 2)
    shares = np.maximum(high - low, 1e-6) ** 2
    return (shares / shares.sum()).astype(np.float32)

"""Questions about composed views of which the truth is known: is it there, how many, which side, what is on that side.

Held-out photographs with one thing each (models/eval/scenes/things.jsonl, chosen by eye) stand in columns from left to
right, a thing that is there several times in one column of its own, mirrored and smaller. Views and questions come from
a seed. Nothing was trained on these photographs; nobody sees views like these, so the figures compare, no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from glasses.data import data_path
from glasses.evaluation.pictures import PICTURES, Picture, read_pictures
from glasses.evaluation.subset import spread
from glasses.types import Latents, UInt8Array

THINGS = data_path("models/eval/scenes/things.jsonl")
N_SCENES = 60
CHANCE = {  # of guessing among the answers that are possible
    "is there": 1 / 2,
    "is not there": 1 / 2,
    "how many": 1 / 4,
    "which side": 1 / 3,
    "what is on that side": 1 / 19,
}
KINDS = tuple(CHANCE)
_COLUMN = 320, 480  # width and height in pixels
_MOST_ALIKE = 4
_NUMBERS = ("no", "one", "two", "three", "four", "five")
_SIDES = {2: ("left", "right"), 3: ("left", "middle", "right")}


@dataclass(frozen=True, slots=True)
class Question:
    """One of KINDS about the view uint8 (H, W, 3); `right` matches answers that are right, in lower case."""

    kind: str
    asked: str
    right: str
    view: UInt8Array


@dataclass(frozen=True, slots=True)
class _Thing:
    name: str
    plural: str
    rgb: UInt8Array


def questions(*, limit: int | None = None, seed: int = 29, folder: Path = PICTURES) -> list[Question]:
    """Five questions about each of N_SCENES views, or of `limit` of them. Raises InputError(NOT_FOUND)."""
    pictures = {one.file: one for one in read_pictures(folder)}
    things = [_thing(json.loads(line), pictures) for line in THINGS.read_text(encoding="utf-8").splitlines()]
    return [one for i in spread(range(N_SCENES), limit) for one in _about(things, np.random.default_rng([seed, i]))]


def _thing(row: dict[str, str], pictures: dict[str, Picture]) -> _Thing:
    return _Thing(row["name"], row["plural"], pictures[row["file"]].rgb)


def _about(things: list[_Thing], rng: np.random.Generator) -> list[Question]:
    """The questions about one view."""
    names = sorted({one.name for one in things})
    n_columns = int(rng.integers(2, 4))
    shown = list(rng.choice(names, n_columns + 1, replace=False))
    absent = shown.pop()
    columns = [next(things[i] for i in rng.permutation(len(things)) if things[i].name == name) for name in shown]
    counts = [1] * n_columns
    counted, asked = rng.permutation(n_columns)[:2]
    counts[counted] = int(rng.integers(1, _MOST_ALIKE + 1))
    view = np.concatenate([_column(one, n) for one, n in zip(columns, counts, strict=True)], axis=1)
    thing, side = columns[asked], _SIDES[n_columns][asked]
    number = _NUMBERS[counts[counted]]
    others = "|".join(one for one in _SIDES[3] if one != side)
    centre = "|cent(?:er|re)" if side == "middle" else ""
    return [
        Question("is there", f"Is there {_a(thing.name)}?", r"^\W*yes\b", view),
        Question("is not there", f"Is there {_a(absent)}?", r"^\W*no\b", view),
        Question(
            "how many", f"How many {columns[counted].plural} are there?", rf"\b({number}|{counts[counted]})\b", view
        ),
        Question(
            "which side",
            f"Where is the {thing.name}?",
            rf"^(?!.*\b({others})\b).*\b({side}{centre})\b",
            view,
        ),
        Question(
            "what is on that side",
            f"What is {'in the middle' if side == 'middle' else f'on the {side}'}?",
            rf"\b({thing.name}|{thing.plural})\b",
            view,
        ),
    ]


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _column(thing: _Thing, n: int) -> UInt8Array:
    """`n` copies of a photograph below each other, every second one mirrored, on grey."""
    width, height = _COLUMN
    column = np.full((height, width, 3), 128, np.uint8)
    room = height // n
    by = min(width / thing.rgb.shape[1], room / thing.rgb.shape[0])
    small = cv2.resize(thing.rgb, None, fx=by, fy=by, interpolation=cv2.INTER_AREA)
    for i in range(n):
        one = small[:, ::-1] if i % 2 else small
        top, left = i * room + (room - one.shape[0]) // 2, (width - one.shape[1]) // 2
        column[top : top + one.shape[0], left : left + one.shape[1]] = one
    return column


def run(
    encode: Callable[[UInt8Array], Sequence[Latents]],
    answer: Callable[[list[str | Latents]], str],
    *,
    limit: int | None = None,
) -> dict[str, object]:
    """Asks about every view, and the same without a picture.

    `right` and `text_only` are the shares of each kind that are answered right, with the picture and without it;
    `chance` that of guessing among the possible answers.
    """
    asked = questions(limit=limit)
    encoded: dict[int, list[Latents]] = {}
    answers: list[dict[str, object]] = []
    for one in asked:
        latents = encoded.setdefault(id(one.view), list(encode(one.view)))
        said, blind = answer([*latents, one.asked]), answer([one.asked])
        right, blindly = (re.search(one.right, text.lower()) is not None for text in (said, blind))
        answers.append({"kind": one.kind, "asked": one.asked, "said": said, "right": right, "text_only": blindly})
    chance = CHANCE | {"all": sum(CHANCE.values()) / len(CHANCE)}
    shares = {which: _shares(answers, which) for which in ("right", "text_only")}
    return {"questions": len(asked), **shares, "chance": chance, "answers": answers}


def _shares(answers: list[dict[str, object]], which: str) -> dict[str, float]:
    those = {kind: [bool(one[which]) for one in answers if kind in ("all", one["kind"])] for kind in (*KINDS, "all")}
    return {kind: sum(right) / len(right) for kind, right in those.items()}

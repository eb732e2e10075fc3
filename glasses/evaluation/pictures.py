"""Does the assistant name the main thing in photographs it was never trained on?

The photographs and the names accepted for each lie in models/eval/pictures. The names were written down before any
answer was seen: the thing itself, everyday synonyms, and the everyday word for its kind ("bird" for a heron, but
not "animal"). A hit is an answer whose first sentence contains an accepted name as whole words, plural or not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.evaluation.subset import spread
from glasses.types import Latents, UInt8Array

PICTURES = data_path("models/eval/pictures")
QUESTION = "What is in view?"


@dataclass(frozen=True, slots=True)
class Picture:
    """One held-out photograph: file name, accepted names, uint8 RGB (H, W, 3)."""

    file: str
    accept: tuple[str, ...]
    rgb: UInt8Array


def read_pictures(folder: Path = PICTURES) -> Iterator[Picture]:
    """Yields the held-out photographs in the order of index.jsonl. Raises InputError(NOT_FOUND)."""
    index = folder / "index.jsonl"
    if not index.is_file():
        raise InputError(Reason.NOT_FOUND, f"{index}: no held-out pictures here; run from a full checkout")
    for line in index.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        bgr = cv2.imread(str(folder / row["file"]), cv2.IMREAD_COLOR)
        if bgr is None:
            raise InputError(Reason.NOT_FOUND, f"{folder / row['file']}: missing or not a picture")
        yield Picture(row["file"], tuple(row["accept"]), np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8))


def hits(answer: str, accept: Sequence[str]) -> bool:
    """Whether the first sentence of `answer` names one of `accept`."""
    first = re.split(r"(?<=[.!?])\s|\n", answer.strip(), maxsplit=1)[0].lower()
    return any(re.search(rf"\b{re.escape(name.lower())}(e?s)?\b", first) for name in accept)


def run(
    encode: Callable[[UInt8Array], Sequence[Latents]],
    answer: Callable[[list[str | Latents]], str],
    folder: Path = PICTURES,
    *,
    limit: int | None = None,
) -> dict[str, object]:
    """Asks `QUESTION` about every photograph, or `limit` of them spread over the set.

    `encode` gives all latents of a picture; `answer` takes the inputs of a turn in order and returns the whole reply.

    `accuracy` is the share of hits; `chance` the share when each answer is held against every other picture instead;
    `text_only` the share that the same question gets with no picture given at all.
    """
    pictures = spread(list(read_pictures(folder)), limit)
    answers = [answer([*encode(picture.rgb), QUESTION]) for picture in pictures]
    blind = answer([QUESTION])
    grid = np.array([[hits(text, picture.accept) for picture in pictures] for text in answers])
    n = len(pictures)
    return {
        "pictures": n,
        "accuracy": float(grid.trace() / n),
        "chance": float((grid.sum() - grid.trace()) / (n * (n - 1))),
        "text_only": sum(hits(blind, picture.accept) for picture in pictures) / n,
        "answers": {p.file: text for p, text in zip(pictures, answers, strict=True)},
        "missed": [p.file for p, hit in zip(pictures, grid.diagonal(), strict=True) if not hit],
    }

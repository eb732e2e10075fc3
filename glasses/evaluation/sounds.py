"""Does the assistant name sounds that it was never trained on?

The clips and the names accepted for each class lie in models/eval/sounds: `held-out` recordings come from packages that
gave no training recording of their class, `reference` ones were trained on and only fit the limit below. The rule was
fixed before any answer was seen: of the names of all classes, the one that comes first in the first sentence of the
answer decides which class was said; an answer with no name is a miss.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.audio.sound_files import read_audio
from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.evaluation.subset import spread
from glasses.types import Float32Array, Latents

SOUNDS = data_path("models/eval/sounds")
QUESTION = "What is this sound?"
RIDGE = 0.1  # of the mean squared feature, added to the covariance's diagonal


# A clip at 16 kHz -> its latents, as LoadedBundle.encode_audio.
EncodeAudio = Callable[[Float32Array], tuple[Latents, ...]]


@dataclass(frozen=True, slots=True)
class Sound:
    """One line of the index: file, class, `held-out` or `reference`, accepted names of the class."""

    file: str
    label: str
    split: str
    accept: tuple[str, ...]


def read_index(folder: Path = SOUNDS) -> list[Sound]:
    """The index of the set. Raises InputError(NOT_FOUND)."""
    index = folder / "index.jsonl"
    if not index.is_file():
        raise InputError(Reason.NOT_FOUND, f"{index}: no held-out sounds here; run from a full checkout")
    rows = [json.loads(line) for line in index.read_text(encoding="utf-8").splitlines()]
    return [Sound(row["file"], row["label"], row["split"], tuple(row["accept"])) for row in rows]


def said_class(answer: str, names: Mapping[str, Sequence[str]]) -> str | None:
    """The class whose name comes first in the first sentence of `answer`; the longer name where two begin together."""
    first = re.split(r"(?<=[.!?])\s|\n", answer.strip(), maxsplit=1)[0].lower()
    found: list[tuple[int, int, str]] = []
    for label, accepted in names.items():
        for name in accepted:
            if match := re.search(rf"\b{re.escape(name)}(e?s)?\b", first):
                found.append((match.start(), -len(name), label))
    return min(found)[2] if found else None


def ridge_probe(x: NDArray[np.floating], y: Sequence[str], test: NDArray[np.floating]) -> list[str]:
    """Labels of `test` (m, d) by ridge regression on one-hot labels of `x` (n, d), features standardised on `x`.

    Solved in the smaller of n and d dimensions (the kernel form), classes weighted alike.
    """
    labels = sorted(set(y))
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    a, b = (x - mean) / scale, (test - mean) / scale
    hot = np.array([[float(label == one) for label in labels] for one in y])
    kernel = a @ a.T
    weights = np.linalg.solve(
        kernel + (RIDGE * float(np.trace(kernel)) / len(a) + 1e-9) * np.eye(len(a)), hot - hot.mean(axis=0)
    )
    return [labels[i] for i in np.argmax((b @ a.T) @ weights, axis=1)]


def pooled(latents: Latents) -> Float32Array:
    """Mean and standard deviation of every channel over time, (2 * D,)."""
    return np.concatenate([latents.data.mean(axis=0), latents.data.std(axis=0)])


def run(
    answer: Callable[[list[str | Latents]], str],
    encode_audio: EncodeAudio,
    folder: Path = SOUNDS,
    *,
    limit: int | None = None,
) -> dict[str, object]:
    """Asks `QUESTION` about every held-out clip, or `limit` of them spread over the set.

    `answer` takes the inputs of a turn in order and returns the reply; `encode_audio` makes the latents of a clip.

    `accuracy` is the share of clips whose class was said, `class_mean` the mean of that share over the classes,
    `chance` what the same answers score against every other clip's class, `text_only` the share that the question gets
    with no sound given. `latent_probe` is a linear probe on each encoder's own latents, fitted on the reference clips:
    what can be read from them with as few examples.
    """
    index = read_index(folder)
    names = {sound.label: sound.accept for sound in index}
    held_out = spread([sound for sound in index if sound.split == "held-out"], limit)
    index = [sound for sound in index if sound.split == "reference" or sound in held_out]
    latents = {sound.file: encode_audio(read_audio(folder / sound.file)) for sound in index}
    reference = [sound for sound in index if sound.split == "reference"]
    answers = {sound.file: answer([*latents[sound.file], QUESTION]) for sound in held_out}
    said = [said_class(answers[sound.file], names) for sound in held_out]
    truth = np.array([sound.label for sound in held_out])
    hit = np.array([a == b for a, b in zip(said, truth, strict=True)])
    grid = np.array([[one == label for label in truth] for one in said])
    blind = said_class(answer([QUESTION]), names)
    return {
        "clips": len(held_out),
        "classes": len(names),
        "accuracy": float(hit.mean()),
        "class_mean": float(np.mean([hit[truth == label].mean() for label in names if (truth == label).any()])),
        "chance": float((grid.sum() - hit.sum()) / (len(hit) * (len(hit) - 1))),
        "text_only": float(np.mean(truth == blind)),
        "latent_probe": _probes(latents, reference, held_out),
        "per_class": {label: f"{hit[truth == label].sum()}/{(truth == label).sum()}" for label in names},
        "answers": answers,
    }


def _probes(
    latents: Mapping[str, tuple[Latents, ...]], reference: Sequence[Sound], held_out: Sequence[Sound]
) -> dict[str, float]:
    """Accuracy on the held-out clips by modality of the latents."""
    accuracy = {}
    for i, one in enumerate(latents[reference[0].file]):
        fit, ask = (np.stack([pooled(latents[sound.file][i]) for sound in part]) for part in (reference, held_out))
        predicted = ridge_probe(fit, [sound.label for sound in reference], ask)
        accuracy[one.modality] = float(np.mean([a == b.label for a, b in zip(predicted, held_out, strict=True)]))
    return accuracy

"""Linear probes: how much of a sound reaches the backbone that its transcript has lost?

The same probe (ridge regression on one-hot labels) reads the rows that the backbone is given, and a bag of words of the
transcript, and predicts from each which sound it is, who speaks and in which tone. Training and test clips never share
a recording; for the speaker they never share a sentence, for the tone never a speaker. The tones are simulated
(models/cards/audio-ambience-pocket.md says how).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.audio.sound_files import read_audio
from glasses.data import data_path
from glasses.errors import InputError, Reason
from glasses.evaluation.sounds import SOUNDS, EncodeAudio, read_index, ridge_probe
from glasses.types import Float32Array, Latents

TONES = data_path("models/eval/tone")
N_FIRST = 2  # rows beside words, or before a sound's own
Rows = Callable[[Sequence[Latents]], NDArray[np.floating]]
Transcribe = Callable[[Float32Array], str]


def words(texts: Sequence[str]) -> NDArray[np.float64]:
    """Bag of words (n, number of different words), counts."""
    split = [re.findall(r"[a-z']+", text.lower()) for text in texts]
    known = sorted({word for text in split for word in text}) or [""]
    return np.array([[text.count(word) for word in known] for text in split], np.float64)


def by_fold(x: NDArray[np.floating], y: Sequence[str], folds: Sequence[str]) -> float:
    """Accuracy of the probe over all clips; each fold is predicted by a probe fitted on the others."""
    right = 0
    for fold in set(folds):
        fit = [i for i, other in enumerate(folds) if other != fold]
        ask = [i for i, other in enumerate(folds) if other == fold]
        predicted = ridge_probe(x[fit], [y[i] for i in fit], x[ask])
        right += sum(a == y[i] for a, i in zip(predicted, ask, strict=True))
    return right / len(y)


def chance(y: Sequence[str]) -> float:
    """The share of the most frequent label."""
    return max(y.count(label) for label in set(y)) / len(y)


def read_tones(folder: Path = TONES) -> list[dict[str, str]]:
    """The lines of the tone set: file, speaker, tone, text. Raises InputError(NOT_FOUND)."""
    index = folder / "index.jsonl"
    if not index.is_file():
        raise InputError(Reason.NOT_FOUND, f"{index}: no tone set here; run from a full checkout")
    return [json.loads(line) for line in index.read_text(encoding="utf-8").splitlines()]


def run(
    rows_of: Rows, transcribe: Transcribe, encode_audio: EncodeAudio, sounds: Path = SOUNDS, tones: Path = TONES
) -> dict[str, dict[str, float]]:
    """Returns for `sound`, `speaker` and `tone` the accuracies `rows`, `transcript` and `chance`.

    The probe reads the first N_FIRST rows, which describe the voice, and the mean of all. `rows_of` returns the rows
    (k, n_embd) that reach the backbone for the latents that `encode_audio` makes of a clip; `transcribe` its words.
    """
    index, spoken = read_index(sounds), read_tones(tones)
    clips = [read_audio(sounds / s.file) for s in index] + [read_audio(tones / row["file"]) for row in spoken]
    every = [rows_of(encode_audio(pcm)) for pcm in clips]
    x = np.stack([np.concatenate([*rows[:N_FIRST], rows.mean(axis=0)]) for rows in every])
    bags = words([transcribe(pcm) for pcm in clips])
    fit = [i for i, s in enumerate(index) if s.split == "reference"]
    ask = [i for i, s in enumerate(index) if s.split == "held-out"]
    labels = [s.label for s in index]
    result: dict[str, dict[str, float]] = {"sound": {}, "speaker": {}, "tone": {}}
    speakers, clip_tones = [row["speaker"] for row in spoken], [row["tone"] for row in spoken]
    sentences = [row["text"] for row in spoken]
    for name, features in (("rows", x), ("transcript", bags)):
        predicted = ridge_probe(features[fit], [labels[i] for i in fit], features[ask])
        result["sound"][name] = float(np.mean([a == labels[i] for a, i in zip(predicted, ask, strict=True)]))
        result["speaker"][name] = by_fold(features[len(index) :], speakers, sentences)
        result["tone"][name] = by_fold(features[len(index) :], clip_tones, speakers)
    result["sound"]["chance"] = chance([labels[i] for i in ask])
    result["speaker"]["chance"], result["tone"]["chance"] = chance(speakers), chance(clip_tones)
    return result

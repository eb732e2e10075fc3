"""Trains the row of one more tool on the device, from its description and examples. Numpy; the backbone is not run.

The row is a logistic regression of the tool's wordings against wordings that the shipped rows were trained on. It reads
the values of a turn and the scores of the shipped rows, which know already what a request is and what those tools are
asked with. Both are linear in the values, so the result is a row.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasses.tools import row_file
from glasses.tools.row_file import Bank, TrainedRows
from glasses.tools.tool import Tool
from glasses.types import Float32Array

MAX_WORDINGS = 48
FALSE = 0.003  # share of the bank's wordings that ask for nothing which may call a new tool
_STEPS, _RATE, _DECAY = 300, 0.05, 2e-3
# How a described action is asked for, where there are few examples.
_FRAMES = ("{}.", "{}", "Please {}.", "Can you {}?", "I want you to {}.", "Could you {}, please?")
_SAID = ("{}", "{}", "Please, {}", "Hey, {}", "{} Please.", "Okay, {}")


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """The row (width,) and bias of one tool; `digest` tells from which wordings."""

    digest: str
    row: Float32Array
    bias: float


def wordings(tool: Tool) -> list[str]:
    """What a wearer may say to ask for the tool: its examples as they are said and written, then its description."""
    said = [
        text
        for example in tool.examples
        for text in (example, _bare(example), *(frame.format(_lower(example)) for frame in _SAID[2:]))
    ]
    action = _imperative(tool.description)
    said += [frame.format(action if frame[0] != "{" else action[:1].upper() + action[1:]) for frame in _FRAMES]
    said += [_bare(f"{tool.name.replace('_', ' ')}")]
    return list(dict.fromkeys(" ".join(text.split()) for text in said if text.strip()))[:MAX_WORDINGS]


def digest(tool: Tool) -> str:
    """Changes when the wordings of the tool do."""
    return hashlib.sha256("\n".join(wordings(tool)).encode()).hexdigest()[:16]


def fit_row(base: TrainedRows, bank: Bank, values: Float32Array) -> tuple[Float32Array, float]:
    """The row (width,) and bias of a tool whose wordings have the `values` (n, width).

    It minimises the cross-entropy of {none, shipped tools, the new one} with the scores of the others as they are, by
    Adam (Kingma and Ba 2015) with all wordings in every step. The new wordings weigh as much as all others.
    """
    everything = np.concatenate([bank.values, values])
    scores = everything @ base.rows.T + base.bias
    inputs = np.concatenate([everything, scores, np.ones((len(scores), 1), np.float32)], axis=1)
    middle, spread = inputs.mean(axis=0), inputs.std(axis=0) + np.float32(1e-3)
    middle[-1], spread[-1] = 0, 1
    x = (inputs - middle) / spread / np.float32(np.sqrt(inputs.shape[1]) / 8)
    x[:, -1] = 1
    is_new = np.arange(len(x)) >= len(bank.values)
    others = np.logaddexp.reduce(np.concatenate([np.zeros((len(scores), 1), np.float32), scores], axis=1), axis=1)
    weight = np.where(is_new, 0.5 / is_new.sum(), 0.5 / (~is_new).sum()).astype(np.float32)
    row, mean, square = (np.zeros(x.shape[1], np.float32) for _ in range(3))
    row[-1] = -2.0
    for step in range(1, _STEPS + 1):
        probability = 1 / (1 + np.exp(np.clip(others - x @ row, -30, 30)))
        slope = ((probability - is_new) * weight) @ x
        slope[:-1] += _DECAY * row[:-1]
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        rate = _RATE * min(1.0, 3 * (1 - step / _STEPS))
        row -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-9)
    silent = np.sort((x[: len(bank.values)] @ row)[bank.wanted < 0])
    if len(silent):
        row[-1] -= max(0.0, float(silent[int((1 - FALSE) * (len(silent) - 1))]))
    slope = row[:-1] / (spread[:-1] * np.float32(np.sqrt(inputs.shape[1]) / 8))
    of_values, of_scores = slope[: values.shape[1]], slope[values.shape[1] :]
    bias = float(row[-1]) - float(slope @ middle[:-1]) + float(of_scores @ base.bias)
    return (of_values + of_scores @ base.rows).astype(np.float32), bias


def read_trained(path: Path, space: str, width: int) -> dict[str, TrainedRow]:
    """The rows of `width` that were trained on this device for the backbone `space`; none where there is no file, or
    that of another backbone or network. Raises ModelError: CORRUPT, TOO_LARGE.
    """
    if not path.is_file():
        return {}
    kept = row_file.read(path)
    if kept.space != space or kept.rows.shape[1] != width:
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            digests = [str(one) for one in file["digests"]]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise row_file.corrupt(path, f"{error}; delete it") from error
    rows = zip(kept.names, digests, kept.rows, kept.bias, strict=True)
    return {name: TrainedRow(digest, row, float(bias)) for name, digest, row, bias in rows}


def write_trained(path: Path, space: str, trained: Mapping[str, TrainedRow]) -> None:
    """Writes the file that `read_trained` reads; without rows, there is none."""
    if not trained:
        path.unlink(missing_ok=True)
        return
    rows = np.stack([one.row for one in trained.values()])
    bias = np.array([one.bias for one in trained.values()], np.float32)
    arrays = TrainedRows(space, tuple(trained), rows, bias).arrays()
    row_file.write(path, {**arrays, "digests": np.array([one.digest for one in trained.values()])})


def _bare(words: str) -> str:
    return words.rstrip(".?! ").lower()


def _lower(words: str) -> str:
    return words if re.match(r"I\b", words) else words[:1].lower() + words[1:]


def _imperative(description: str) -> str:
    """ "Flips a coin." as "flip a coin": what a description says the tool does, as it is asked for."""
    first, _, rest = description.strip().partition(". ")[0].rstrip(". ").partition(" ")
    verb = first[:1].lower() + first[1:]
    if re.search(r"(ss|us|is)$", verb) or not verb.endswith("s"):
        pass
    elif verb.endswith("ies"):
        verb = verb[:-3] + "y"
    elif re.search(r"(ch|sh|x|z|ss|o)es$", verb):
        verb = verb[:-2]
    else:
        verb = verb[:-1]
    return f"{verb} {rest}".strip()

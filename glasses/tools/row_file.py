"""The file of a backbone's trained tool rows: an npz of the row of each tool, and what it takes to train another.

| array | what |
|---|---|
| `space` | first 16 hex digits of the sha256 of the backbone's file |
| `project` ... | the network that makes `width` values of a turn: see word_net |
| `names` | (k,) the tools, and "confirm" and "decline" |
| `rows`, `bias` | (k, width), (k,): a score above zero calls the tool |
| `examples` | (n, width) uint8, `example_scale`, `example_least` (width,): values of wordings to train against |
| `wanted` | (n,) int16: what they ask for, an index into `names`, -1 for nothing |

A file of rows that were trained on the device has `names`, `rows`, `bias` and `space` alone, and `digests`.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.tools import word_net
from glasses.tools.word_net import WordNet
from glasses.types import Float32Array

MAX_BYTES = 16 << 20
_BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class TrainedRows:
    """Rows by name: `rows` float32 (k, width), `bias` (k,)."""

    space: str
    names: tuple[str, ...]
    rows: Float32Array
    bias: Float32Array

    def scores(self, values: Float32Array) -> Float32Array:
        """Float32 (k,) of the values (width,) of a turn."""
        return self.rows @ values + self.bias

    def arrays(self) -> dict[str, Any]:
        """What `read` reads."""
        return {
            "space": np.array(self.space),
            "names": np.array(self.names),
            "rows": self.rows.astype(np.float16),
            "bias": self.bias.astype(np.float32),
        }


@dataclass(frozen=True, slots=True)
class Bank:
    """What another tool is trained against: the values (n, width) of wordings, and what they ask for."""

    values: Float32Array
    wanted: np.ndarray[Any, np.dtype[np.int16]]


def read(path: Path) -> TrainedRows:
    """The rows of a file. Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT."""
    try:
        with _opened(path) as file:
            rows, bias = file["rows"].astype(np.float32), file["bias"].astype(np.float32)
            found = TrainedRows(str(file["space"]), tuple(str(one) for one in file["names"]), rows, bias)
    except _BROKEN as error:
        raise corrupt(path, str(error)) from error
    fits = rows.ndim == 2 and rows.shape[0] == len(found.names) == len(bias) and bias.ndim == 1
    if not fits or not np.isfinite(rows).all() or not np.isfinite(bias).all():
        raise corrupt(path, f"rows {rows.shape} of {len(found.names)} names, or not finite")
    return found


def read_net(path: Path) -> WordNet:
    """The network of a file. Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT."""
    try:
        with _opened(path) as file:
            return word_net.of(file)
    except _BROKEN as error:
        raise corrupt(path, str(error)) from error


def read_bank(path: Path) -> Bank:
    """What a file keeps for training. Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT."""
    try:
        with _opened(path) as file:
            values = file["examples"].astype(np.float32) * file["example_scale"].astype(np.float32)
            bank = Bank(values + file["example_least"].astype(np.float32), file["wanted"].astype(np.int16))
    except _BROKEN as error:
        raise corrupt(path, str(error)) from error
    if bank.values.ndim != 2 or len(bank.values) != len(bank.wanted):
        raise corrupt(path, "its parts do not fit each other")
    return bank


def bank_arrays(bank: Bank) -> dict[str, Any]:
    """What `read_bank` reads."""
    least = bank.values.min(axis=0)
    scale = (bank.values.max(axis=0) - least).clip(1e-6) / 255
    return {
        "examples": np.round((bank.values - least) / scale).astype(np.uint8),
        "example_scale": scale.astype(np.float32),
        "example_least": least.astype(np.float32),
        "wanted": bank.wanted.astype(np.int16),
    }


def write(path: Path, arrays: dict[str, Any]) -> None:
    """Writes a file; after a crash there is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.stem + ".part.npz")
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such rows of tools")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_BYTES:,} bytes for rows of tools")
    if not zipfile.is_zipfile(path):
        raise corrupt(path, "no npz file")
    return np.load(path, allow_pickle=False)


def corrupt(path: Path, why: str) -> ModelError:
    """The error for a file that is no file of rows."""
    return ModelError(Reason.CORRUPT, f"{path}: not the rows of tools: {why}")

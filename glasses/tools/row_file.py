"""The file of a backbone's trained tool rows: an npz of the deep rows of each tool, and what it takes to train another.

| array | what |
|---|---|
| `space` | first 16 hex digits of the sha256 of the backbone's file |
| `names` | (k,) the tools, and "confirm" and "decline" |
| `rows`, `bias` | (k, n_values), (k,): a score above zero calls the tool |
| `basis` | (c, n_values) int8, with `basis_scale` (c,), `basis_bias` (c,): projects values to c components |
| `examples` | (n, c) int8, with `example_scale` (): the components of the wordings that the rows were trained on |
| `example_scores` | (n, k): what the rows score there |
| `wanted` | (n,) int16: index into `names`, -1 for none |
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class TrainedRows:
    """Deep rows by name: `rows` float32 (k, n_values), `bias` (k,)."""

    space: str
    names: tuple[str, ...]
    rows: Float32Array
    bias: Float32Array

    def scores(self, values: Float32Array) -> Float32Array:
        """Float32 (k,) of the values (n_values,) of a turn."""
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
    """What another tool is trained against: n wordings by their c components and by the k scores of the trained rows.

    `basis` (c, n_values) and `basis_bias` (c,) give the components of a turn's values.
    """

    basis: Float32Array
    basis_bias: Float32Array
    components: Float32Array  # (n, c)
    scores: Float32Array  # (n, k)
    wanted: np.ndarray[Any, np.dtype[np.int16]]  # (n,)


def read(path: Path) -> TrainedRows:
    """The rows of a file. Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT."""
    with _opened(path) as file:
        try:
            rows, bias = file["rows"].astype(np.float32), file["bias"].astype(np.float32)
            found = TrainedRows(str(file["space"]), tuple(str(one) for one in file["names"]), rows, bias)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise _corrupt(path, str(error)) from error
    fits = rows.ndim == 2 and rows.shape[0] == len(found.names) == len(bias) and bias.ndim == 1
    if not fits or not np.isfinite(rows).all() or not np.isfinite(bias).all():
        raise _corrupt(path, f"rows {rows.shape} of {len(found.names)} names, or not finite")
    return found


def read_bank(path: Path) -> Bank:
    """What a file keeps for training. Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT."""
    with _opened(path) as file:
        try:
            basis = file["basis"].astype(np.float32) * file["basis_scale"].astype(np.float32)[:, None]
            components = file["examples"].astype(np.float32) * np.float32(file["example_scale"])
            bank = Bank(
                basis,
                file["basis_bias"].astype(np.float32),
                components,
                file["example_scores"].astype(np.float32),
                file["wanted"].astype(np.int16),
            )
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise _corrupt(path, str(error)) from error
    sizes = {len(bank.components), len(bank.scores), len(bank.wanted)}
    if len(sizes) != 1 or not len(bank.basis) == len(bank.basis_bias) == bank.components.shape[1]:
        raise _corrupt(path, "its parts do not fit each other")
    return bank


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
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, why: str) -> ModelError:
    return ModelError(Reason.CORRUPT, f"{path}: not the rows of tools: {why}")

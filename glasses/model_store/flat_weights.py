"""Weights of an ONNX graph in one flat file beside it, made on the machine that needs them.

The graph names each array by its offset. The bytes are the same on every machine, so a manifest can name their sha256
(`int8_weights.py` says how matrices are rounded).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glasses.model_store.int8_weights import quantize_columns

Arrays = dict[str, NDArray[Any]]
ALIGN_BYTES = 64  # onnxruntime maps the file: a cache line is kind to it


def matrix(name: str, weight: NDArray[Any], bias: NDArray[Any] | None) -> Arrays:
    """`name`.int8 (in, out) for x @ w, `name`.scale (out,) and, where there is one, `name`.bias (out,).

    `weight` is (out, in), as torch and CTranslate2 keep it.
    """
    whole, scale = quantize_columns(weight.T)
    out: Arrays = {f"{name}.int8": np.ascontiguousarray(whole), f"{name}.scale": scale}
    return out if bias is None else {**out, f"{name}.bias": bias.astype(np.float32)}


def offsets(held: Arrays) -> dict[str, int]:
    """Where each array begins in the file, in bytes."""
    at, out = 0, {}
    for name, array in held.items():
        out[name] = at
        at += -(-array.nbytes // ALIGN_BYTES) * ALIGN_BYTES
    return out


def write(held: Arrays, out: Path) -> None:
    """Writes `arrays`, each at its offset."""
    with out.open("wb") as file:
        for name, at in offsets(held).items():
            file.write(b"\0" * (at - file.tell()))
            file.write(held[name].tobytes())

"""Quantizes a GGUF backbone through llama.cpp's own llama_model_quantize.

K-quants pack 256 weights in a block. Where a matrix is narrower than a multiple of that (SmolLM2-135M: 576 columns)
llama.cpp takes a type with blocks of 32 instead, so Q4_K_M of such a model is mostly Q5_0: `tensor_types` shows it.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from glasses.backbone.native import c, drain_errors
from glasses.errors import InputError, ModelError, Reason
from quantize.gguf_header import check_header
from quantize.imatrix import Importance

MIXED = "mixed"
_PREFIX = "LLAMA_FTYPE_MOSTLY_"
TYPES: dict[str, int] = {
    name.removeprefix(_PREFIX): value for name, value in vars(c).items() if name.startswith(_PREFIX)
}
# llama.cpp refuses these without an importance matrix (llama-quant.cpp, tensor_requires_imatrix): too few bits.
NEEDS_IMATRIX = frozenset({"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_S", "IQ1_M", "Q2_K_S"})
# `mixed`: 4 bits with a scale and an offset in the layers, 5 in the token table, which is input and classifier at once
# and a third of a model this small. From a source of Q4_1 (as SmolLM2 is shared) the layers are copied bit for bit.
MIXED_BASE, MIXED_TABLE = "Q4_1", gguf.GGMLQuantizationType.Q5_1


def quantize(source: Path, out: Path, kind: str, importance: Importance | None = None, *, n_threads: int = 1) -> None:
    """Writes `source` as type `kind` (one of TYPES, or `mixed`) to `out`, a scratch path (see files.whole).

    A source that is quantized itself is unpacked first, as it is all that some models are shared as: what it lost
    stays lost. Raises InputError(BAD_INPUT) for an unknown type or one that needs an importance matrix, ModelError:
    NOT_FOUND, CORRUPT, INTERNAL.
    """
    check_type(kind)
    if kind in NEEDS_IMATRIX and importance is None:
        raise InputError(Reason.BAD_INPUT, f"{kind} needs an importance matrix: quantize imatrix, then --imatrix FILE")
    check(source)
    params = c.llama_model_quantize_default_params()
    params.nthread, params.allow_requantize = n_threads, True
    params.ftype = TYPES[MIXED_BASE if kind == MIXED else kind]
    kept: list[Any] = []  # ctypes structures point into these until the call returns
    if kind == MIXED:
        params.token_embedding_type = params.output_tensor_type = int(MIXED_TABLE)
    if importance is not None:
        params.imatrix = _importance(importance, kept)
    result = c.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(params))
    if result != 0 or not out.is_file():
        raise ModelError(Reason.INTERNAL, f"llama.cpp could not write {out.name} as {kind}: {drain_errors()}")


def check_type(kind: str) -> None:
    """Raises InputError(BAD_INPUT) for a type that llama.cpp does not know."""
    if kind != MIXED and kind not in TYPES:
        raise InputError(Reason.BAD_INPUT, f"unknown type {kind!r}; known are {MIXED}, {', '.join(TYPES)}")


def check(path: Path) -> gguf.GGUFReader:
    """Reads the header and that all tensors are there. Raises ModelError: NOT_FOUND, CORRUPT."""
    check_header(path)
    try:
        reader = gguf.GGUFReader(path)
    except Exception as error:  # its reader raises whatever numpy does on damaged bytes
        raise ModelError(Reason.CORRUPT, f"{path}: cut short or not GGUF ({error}); pull the model again") from error
    if not reader.tensors:
        raise ModelError(Reason.CORRUPT, f"{path}: a GGUF file without tensors is no backbone")
    return reader


def check_pair(a: Path, b: Path) -> None:
    """Raises ModelError(BAD_INPUT) for another vocabulary or width, and as `check`."""
    shapes = [[t.shape.tolist() for t in check(path).tensors if t.name == "token_embd.weight"] for path in (a, b)]
    if shapes[0] != shapes[1]:
        raise ModelError(Reason.BAD_INPUT, f"{a} has a token table {shapes[0]}, {b} {shapes[1]}: no pair to compare")


def tensor_types(path: Path) -> dict[str, int]:
    """How many tensors of each type the file holds, the most frequent first. Raises as `check`."""
    return dict(Counter(tensor.tensor_type.name for tensor in check(path).tensors).most_common())


def _importance(importance: Importance, kept: list[Any]) -> Any:
    entries = []
    for name, values in importance.means.items():
        flat = np.ascontiguousarray(values, np.float32)
        kept.append(flat)
        pointer = flat.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entries.append(c.llama_model_imatrix_data(name.encode(), pointer, flat.size))
    array = (c.llama_model_imatrix_data * (len(entries) + 1))(*entries)
    kept.append(array)
    return array

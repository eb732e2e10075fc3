"""Reads rows of a GGUF's token embedding table, as llama.cpp looks them up.

The file is mapped into memory; llama.cpp maps the same pages, so this takes no more memory. ggml's own functions read
the header and dequantise the rows, so the result is bit for bit that of llama.cpp for every quantisation it has.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasses.backbone.native import Native, c
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

_GGML_TYPE_F32 = 0  # enum ggml_type
# The architectures that take embeddings as we feed them; a test feeds each. Gemma 3 multiplies looked-up rows by
# sqrt(n_embd) but not rows fed as embeddings; Gemma and Gemma 2 multiply both, so a row is fed as it is in the table.
# Others need more than a row: Gemma 3n and 4 take inputs for every layer, M-RoPE models several positions a row, and
# hybrid models cannot be rolled back.
UNSCALED = frozenset({"llama", "qwen2", "qwen3", "smollm3", "gemma", "gemma2"})
SQRT_SCALED = frozenset({"gemma3"})
_lib: Any = c._lib  # it loads libggml-base too, for which llama-cpp-python has no bindings


class _GgufInitParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


class _TypeTraits(ctypes.Structure):
    """struct ggml_type_traits of ggml.h, as of llama-cpp-python 0.3.36."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
        ("from_float_ref", ctypes.c_void_p),
    )


def _declare(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, list(arguments)
    return function


_init_from_file = _declare("gguf_init_from_file", ctypes.c_void_p, ctypes.c_char_p, _GgufInitParams)
_gguf_free = _declare("gguf_free", None, ctypes.c_void_p)
_find_tensor = _declare("gguf_find_tensor", ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p)
_data_offset = _declare("gguf_get_data_offset", ctypes.c_size_t, ctypes.c_void_p)
_tensor_offset = _declare("gguf_get_tensor_offset", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)
_tensor_size = _declare("gguf_get_tensor_size", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int64)
_tensor_type = _declare("gguf_get_tensor_type", ctypes.c_int, ctypes.c_void_p, ctypes.c_int64)
_row_size = _declare("ggml_row_size", ctypes.c_size_t, ctypes.c_int, ctypes.c_int64)
_blck_size = _declare("ggml_blck_size", ctypes.c_int64, ctypes.c_int)
_type_size = _declare("ggml_type_size", ctypes.c_size_t, ctypes.c_int)
_get_type_traits = _declare("ggml_get_type_traits", ctypes.POINTER(_TypeTraits), ctypes.c_int)


def row_scale(path: Path, native: Native) -> float:
    """The factor that the model applies to a looked-up row. ModelError(BAD_INPUT) if it takes no embeddings."""
    architecture = native.metadata("general.architecture")
    if native.n_embd != native.n_embd_out or architecture not in UNSCALED | SQRT_SCALED:
        raise ModelError(Reason.BAD_INPUT, f"{path}: architecture {architecture} is not known to take latents as input")
    return float(np.sqrt(np.float32(native.n_embd))) if architecture in SQRT_SCALED else 1.0


class TokenRows:
    """The rows of tensor `name` of a GGUF, n_embd floats each, multiplied by `scale`.

    Raises ModelError(CORRUPT) for a file that is no GGUF or whose table is not (n_vocab, n_embd).
    """

    def __init__(self, path: Path, n_vocab: int, n_embd: int, scale: float, name: str = "token_embd.weight") -> None:
        offset, size, ggml_type = _locate(path, name)
        self._row_bytes: int = _row_size(ggml_type, n_embd)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if size != n_vocab * self._row_bytes or offset + size > len(self._map):
            self._map.close()
            raise ModelError(Reason.CORRUPT, f"{path}: {name} has {size} bytes, not {n_vocab} rows of {n_embd}")
        self._table = np.frombuffer(self._map, np.uint8, size, offset)
        self._to_float = None if ggml_type == _GGML_TYPE_F32 else _row_reader(ggml_type)
        self.n_vocab, self.n_embd, self._scale = n_vocab, n_embd, np.float32(scale)

    def read(self, ids: Sequence[int]) -> Float32Array:
        """float32 (len(ids), n_embd); ModelError(BAD_INPUT) for an id outside the table."""
        rows = np.empty((len(ids), self.n_embd), np.float32)
        for i, token in enumerate(ids):
            if not 0 <= token < self.n_vocab:
                raise ModelError(Reason.BAD_INPUT, f"token {token} (item {i}) is not in 0..{self.n_vocab - 1}")
            start = int(token) * self._row_bytes
            if self._to_float is None:
                rows[i] = self._table[start : start + self._row_bytes].view(np.float32)
            else:
                self._to_float(self._table.ctypes.data + start, rows[i].ctypes.data, self.n_embd)
        return rows if self._scale == 1 else rows * self._scale


def _locate(path: Path, name: str) -> tuple[int, int, int]:
    """Byte offset in the file, size in bytes and ggml type of a tensor."""
    header = _init_from_file(str(path).encode(), _GgufInitParams(True, None))
    if not header:
        raise ModelError(Reason.CORRUPT, f"{path}: not a GGUF file")
    try:
        index = _find_tensor(header, name.encode())
        if index < 0:
            raise ModelError(Reason.CORRUPT, f"{path}: has no tensor {name}")
        offset = _data_offset(header) + _tensor_offset(header, index)
        return offset, _tensor_size(header, index), _tensor_type(header, index)
    finally:
        _gguf_free(header)


def _row_reader(ggml_type: int) -> Any:
    traits = _get_type_traits(ggml_type).contents
    # ggml also has functions for two of the fields: if they agree, the struct above still has ggml's layout.
    if (traits.blck_size, traits.type_size) != (_blck_size(ggml_type), _type_size(ggml_type)) or not traits.to_float:
        raise ModelError(Reason.INTERNAL, f"ggml type {ggml_type} cannot be read with this llama-cpp-python")
    return traits.to_float

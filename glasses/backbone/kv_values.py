"""Reads the value vectors of rows from llama.cpp's KV cache, in every layer.

Value vectors are what later rows attend to. They say more about what was read than the last layer's hidden state, which
is shaped to predict one token.

They are read from the bytes of `llama_state_seq_get_data`, in the layout of llama-cpp-python 0.3.36: magic, 0, streams,
cells; position, number of sequences and sequence of each cell; whether values are transposed, layers; then the keys of
every layer, and behind all keys the values of every layer, each as type, bytes a row, rows. All of it is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

_MAGIC, _F16 = 0xAF143CD8, 1  # LLAMA_STATE_SEQ_MAGIC; enum ggml_type
_HEAD, _CELL, _SHAPE, _LAYER = struct.Struct("<4I"), struct.Struct("<iIi"), struct.Struct("<2I"), struct.Struct("<iQ")


def values_of(state: bytes | bytearray, n_rows: int, back: Sequence[int]) -> Float32Array:
    """The value vectors float32 (layers * len(back) * width,), first layer first, of the rows at the distances `back`
    from the end of a cache of `n_rows`; 1 is the last row.

    Raises ModelError(UNSUPPORTED) for a shorter cache, or one with another layout (sliding windows, recurrent layers).
    """
    at = _HEAD.size + n_rows * _CELL.size
    if n_rows < max(back) or len(state) < at + _SHAPE.size or _HEAD.unpack_from(state)[::2] != (_MAGIC, 1):
        raise _unknown()
    transposed, n_layers = _SHAPE.unpack_from(state, at)
    if _HEAD.unpack_from(state)[3] != n_rows or transposed:
        raise _unknown()
    at += _SHAPE.size
    found: list[NDArray[np.float16]] = []
    for _ in range(2 * n_layers):
        if len(state) < at + _LAYER.size:
            raise _unknown()
        kind, row_bytes = _LAYER.unpack_from(state, at)
        at += _LAYER.size + n_rows * row_bytes
        if kind != _F16 or len(state) < at:
            raise _unknown()
        found += [np.frombuffer(state, np.float16, row_bytes // 2, at - n * row_bytes) for n in back]
    if at != len(state) or not n_layers:
        raise _unknown()
    return np.concatenate(found[n_layers * len(back) :]).astype(np.float32)


def _unknown() -> ModelError:
    return ModelError(Reason.UNSUPPORTED, "the cache of this backbone is laid out in a way that cannot be read")

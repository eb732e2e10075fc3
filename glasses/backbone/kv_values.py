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
    if n_rows < max(back):
        raise _unknown()
    layers = _layers(state, n_rows)
    return np.concatenate([layer[-n] for layer in layers for n in back]).astype(np.float32)


def last_values(state: bytes | bytearray, n_rows: int, n_last: int) -> Float32Array:
    """The value vectors float32 (n_last, layers * width) of the last rows of a cache of `n_rows`.

    Raises ModelError(UNSUPPORTED) as `values_of`.
    """
    if not 0 < n_last <= n_rows:
        raise _unknown()
    return np.concatenate([layer[-n_last:] for layer in _layers(state, n_rows)], axis=1).astype(np.float32)


def _layers(state: bytes | bytearray, n_rows: int) -> list[NDArray[np.float16]]:
    """The value vectors (n_rows, width) of every layer, as they lie in the state."""
    at = _HEAD.size + n_rows * _CELL.size
    if n_rows < 1 or len(state) < at + _SHAPE.size or _HEAD.unpack_from(state)[::2] != (_MAGIC, 1):
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
        found.append(np.frombuffer(state, np.float16, n_rows * row_bytes // 2, at - n_rows * row_bytes))
    if at != len(state) or not n_layers:
        raise _unknown()
    return [layer.reshape(n_rows, -1) for layer in found[n_layers:]]


def _unknown() -> ModelError:
    return ModelError(Reason.UNSUPPORTED, "the cache of this backbone is laid out in a way that cannot be read")

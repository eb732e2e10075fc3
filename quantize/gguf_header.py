"""Holds the lengths in a GGUF header against the file, before the package gguf reads it, which believes them all.

Layout, little-endian: "GGUF", version, numbers of tensors and of keys; each key with its type and value; each tensor
with its name, dimensions, type and offset (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from glasses.errors import ModelError, Reason

_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a value, by gguf_type
_MAX_DIMENSIONS = 4  # GGML_MAX_DIMS
_MAX_ELEMENTS = 1 << 40  # of a tensor; their product must not overflow


def check_header(path: Path) -> None:
    """Raises ModelError: NOT_FOUND, CORRUPT where the header is none, or reaches past the end of the file."""
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such file")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Header(data).check()
    except (ValueError, struct.error) as error:  # mmap's of an empty file is a ValueError
        raise ModelError(Reason.CORRUPT, f"{path}: cut short or not GGUF ({error}); pull the model again") from error


class _Header:
    """Reads on through `data`. Its methods raise ValueError."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def check(self) -> None:
        magic, version, n_tensors, n_keys = struct.unpack_from("<4sIQQ", self._data)
        self._at = 24
        if magic != b"GGUF" or version not in _VERSIONS:
            raise ValueError(f"it begins with {magic!r}, version {version}")
        for n, least_bytes in ((n_keys, 13), (n_tensors, 24)):
            if n * least_bytes > len(self._data):
                raise ValueError(f"{n:,} keys or tensors in {len(self._data):,} bytes")
        for _ in range(n_keys):
            self._skip_string()
            self._skip_value(self._number(4))
        for _ in range(n_tensors):
            self._skip_string()
            self._check_shape([self._number(8) for _ in range(self._n_dimensions())])
            self._skip(4)  # its type
            if (offset := self._number(8)) > len(self._data):
                raise ValueError(f"a tensor begins at byte {offset:,} of {len(self._data):,}")

    def _n_dimensions(self) -> int:
        n = self._number(4)
        if n > _MAX_DIMENSIONS:
            raise ValueError(f"a tensor of {n} dimensions")
        return n

    def _check_shape(self, shape: list[int]) -> None:
        n = 1
        for size in shape:
            n *= size
        if n > _MAX_ELEMENTS:
            raise ValueError(f"a tensor of {shape}")

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._skip_string()
        elif kind == _ARRAY:
            of, n = self._number(4), self._number(8)
            if of in _SIZES:
                self._skip(n * _SIZES[of])
            elif of == _STRING and n * 8 <= len(self._data) - self._at:
                for _ in range(n):
                    self._skip_string()
            else:
                raise ValueError(f"an array of {n:,} values of type {of}")
        elif kind in _SIZES:
            self._skip(_SIZES[kind])
        else:
            raise ValueError(f"a value of type {kind}")

    def _skip_string(self) -> None:
        self._skip(self._number(8))

    def _number(self, n_bytes: int) -> int:
        value = int.from_bytes(self._data[self._at : self._at + n_bytes], "little")
        self._skip(n_bytes)
        return value

    def _skip(self, n_bytes: int) -> None:
        self._at += n_bytes
        if self._at > len(self._data):
            raise ValueError("its header reaches past its end")

"""Reads the tensors of CTranslate2's flat model file (`model.bin`).

Layout (CTranslate2, python/ctranslate2/specs/model_spec.py, binary version 6): u32 version, string spec name, u32 spec
revision, u32 count, then per tensor: string name, u8 rank, u32 dims..., u8 dtype, u32 bytes, raw data;
a string is u16 length (with the final NUL) and its bytes. After the tensors: u32 alias count and pairs of strings.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason
from glasses.model_store.manifests import MAX_FILE_BYTES

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_MAX_TENSORS = 10_000


class _Reader:
    """A cursor over the file's bytes that turns every overrun into one error."""

    def __init__(self, data: bytes, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ModelError(Reason.CORRUPT, f"{self.path}: cut short at byte {self.at}; pull the model again")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, kind: str) -> int:
        return struct.unpack("<" + kind, self.take(struct.calcsize(kind)))[0]

    def string(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()


def read_tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    """Returns every tensor of the file by name, aliases resolved; raises ModelError(CORRUPT) on anything odd."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over {MAX_FILE_BYTES >> 30} GB, so no model for a board")
    reader = _Reader(path.read_bytes(), path)
    version = reader.number("I")
    if version != 6:
        raise ModelError(Reason.CORRUPT, f"{path}: CTranslate2 binary version {version}, only 6 is known")
    reader.string()
    reader.number("I")
    count = reader.number("I")
    if count > _MAX_TENSORS:
        raise ModelError(Reason.CORRUPT, f"{path}: claims {count} tensors")
    tensors: dict[str, NDArray[np.generic]] = {}
    for _ in range(count):
        name = reader.string()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = _DTYPES.get(reader.number("B"))
        if dtype is None:
            raise ModelError(Reason.CORRUPT, f"{path}: tensor {name} has an unknown type")
        flat = np.frombuffer(reader.take(reader.number("I")), dtype)
        if flat.size != int(np.prod(shape)):
            raise ModelError(Reason.CORRUPT, f"{path}: tensor {name} holds {flat.size} values for shape {shape}")
        tensors[name] = flat.reshape(shape)
    for _ in range(reader.number("I")):
        alias = reader.string()
        tensors[alias] = tensors[reader.string()]
    return tensors

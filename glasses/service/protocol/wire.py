"""The bytes of one message: a small JSON header, then the arrays that it names.

    "GLW1" | header length, uint32 | header, JSON | arrays, back to back, little-endian

The header is `{"body": ..., "arrays": [{"dtype": "f16", "shape": [n, d]}, ...]}`. An `f32` array is raw float32. An
`f16` or `i8` array begins with one float32 scale per row, and its rows are divided by their scale: gradients are far
smaller than the smallest half-precision number, and some latents are larger than the largest int8. Memory is allocated
only after the sizes in the header were checked against the caps and against the bytes that came. Nothing is unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from glasses.errors import InputError, Reason
from glasses.types import Float32Array

VERSION = 1
MAX_MESSAGE_BYTES = 16 << 20  # 64 sequences of 64 rows of 576 floats are 9 MB
MAX_HEADER_BYTES = 512 << 10
MAX_ARRAYS = 256
MAX_ROWS = 4096
MAX_WIDTH = 16_384
Dtype = Literal["f32", "f16", "i8"]
_MAGIC = b"GLW1"
_START = struct.Struct("<4sI")
_ITEM_BYTES: dict[str, int] = {"f32": 4, "f16": 2, "i8": 1}
_INT8_MAX, _F16_MAX = 127.0, 65504.0
_B = TypeVar("_B")


class ArraySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One array behind the header: float rows (n, d)."""

    dtype: Dtype
    shape: tuple[int, int]

    def n_bytes(self) -> int:
        n, d = self.shape
        return n * d * _ITEM_BYTES[self.dtype] + (0 if self.dtype == "f32" else 4 * n)


class _Header(msgspec.Struct, Generic[_B], forbid_unknown_fields=True):
    body: _B
    arrays: list[ArraySpec] = []


_encoder = msgspec.json.Encoder()


class Decoder(Generic[_B]):
    """Reads messages whose body is of one (tagged union of) msgspec type."""

    def __init__(self, body_type: Any) -> None:
        self._header: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Header[body_type])

    def decode(self, data: bytes) -> tuple[_B, list[Float32Array]]:
        """The body and its arrays as float32 (n, d).

        Raises InputError: TOO_LARGE over a cap, BAD_INPUT for a message of another version or with fields it cannot
        have, or arrays that are not finite, CORRUPT where sizes and bytes differ.
        """
        if len(data) > MAX_MESSAGE_BYTES:
            raise InputError(Reason.TOO_LARGE, f"a message of {len(data)} bytes; at most {MAX_MESSAGE_BYTES}")
        if len(data) < _START.size or data[:4] != _MAGIC:
            raise InputError(Reason.BAD_INPUT, f"not a message of wire version {VERSION}")
        (_, length) = _START.unpack_from(data)
        if length > MAX_HEADER_BYTES:
            raise InputError(Reason.TOO_LARGE, f"a header of {length} bytes; at most {MAX_HEADER_BYTES}")
        if _START.size + length > len(data):
            raise InputError(Reason.CORRUPT, "the message ends within its header")
        try:
            header = self._header.decode(data[_START.size : _START.size + length])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InputError(Reason.BAD_INPUT, f"the header cannot be used: {error}") from error
        return header.body, _arrays(header.arrays, memoryview(data)[_START.size + length :])


class Envelope(msgspec.Struct):
    """The request and the session of a message, read even from one that cannot be used."""

    rid: int | None = None
    session: str = ""
    seq: int = 0


class _Enveloped(msgspec.Struct):
    body: Envelope


_envelopes = msgspec.json.Decoder(_Enveloped)


def envelope_of(data: bytes) -> Envelope:
    """The envelope of a message; an empty one if its header cannot be read."""
    try:
        (_, length) = _START.unpack_from(data)
        return _envelopes.decode(data[_START.size : _START.size + min(length, MAX_HEADER_BYTES)]).body
    except (struct.error, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Envelope()


def encode(body: Any, arrays: Sequence[NDArray[Any]] = (), dtype: Dtype = "f32") -> bytes:
    """One message; `arrays` are float (n, d), sent as `dtype`. Raises InputError(TOO_LARGE) over a cap."""
    specs = [ArraySpec(dtype, (int(a.shape[0]), int(a.shape[1]))) for a in arrays]
    header = _encoder.encode({"body": body, "arrays": specs})
    total = _START.size + len(header) + sum(spec.n_bytes() for spec in specs)
    if total > MAX_MESSAGE_BYTES or len(header) > MAX_HEADER_BYTES or len(specs) > MAX_ARRAYS:
        raise InputError(Reason.TOO_LARGE, f"a message of {total} bytes and {len(specs)} arrays; send fewer at once")
    return b"".join([_START.pack(_MAGIC, len(header)), header, *(_pack(a, dtype) for a in arrays)])


def rounded(array: Float32Array, dtype: Dtype) -> Float32Array:
    """`array` as it arrives when it is sent as `dtype`."""
    return _unpack(ArraySpec(dtype, (array.shape[0], array.shape[1])), memoryview(_pack(array, dtype)))


def _arrays(specs: list[ArraySpec], data: memoryview) -> list[Float32Array]:
    if len(specs) > MAX_ARRAYS:
        raise InputError(Reason.TOO_LARGE, f"{len(specs)} arrays in a message; at most {MAX_ARRAYS}")
    for spec in specs:
        n, d = spec.shape
        if not (0 < n <= MAX_ROWS and 0 < d <= MAX_WIDTH):
            raise InputError(Reason.TOO_LARGE, f"an array of {n} x {d}; 1..{MAX_ROWS} rows of 1..{MAX_WIDTH}")
    if sum(spec.n_bytes() for spec in specs) != len(data):
        raise InputError(Reason.CORRUPT, f"{len(data)} bytes of arrays are not what the header says")
    out, at = [], 0
    for spec in specs:
        out.append(_unpack(spec, data[at : at + spec.n_bytes()]))
        at += spec.n_bytes()
    return out


def _pack(array: NDArray[Any], dtype: Dtype) -> bytes:
    rows = np.ascontiguousarray(array, np.float32)
    if dtype == "f32":
        return rows.astype("<f4", copy=False).tobytes()
    largest = np.abs(rows).max(axis=1)
    # Halves keep full precision from 6e-5 up: scaled to 1, eight digits below the row's largest value still count.
    scale = np.where(largest > 0, largest / (_INT8_MAX if dtype == "i8" else 1.0), 1.0).astype("<f4")
    scaled = rows / scale[:, None]
    packed = np.rint(scaled).astype(np.int8) if dtype == "i8" else scaled.astype("<f2")
    return scale.tobytes() + packed.tobytes()


def _unpack(spec: ArraySpec, data: memoryview) -> Float32Array:
    n, d = spec.shape
    if spec.dtype == "f32":
        rows = np.frombuffer(data, "<f4").reshape(n, d).astype(np.float32)
    else:
        scale = np.frombuffer(data[: 4 * n], "<f4")
        kind = np.int8 if spec.dtype == "i8" else np.dtype("<f2")
        with np.errstate(over="ignore", invalid="ignore"):  # found below
            rows = np.frombuffer(data[4 * n :], kind).reshape(n, d).astype(np.float32) * scale[:, None]
    if not np.isfinite(rows).all():
        raise InputError(Reason.BAD_INPUT, "an array holds NaN or infinite values")
    return rows

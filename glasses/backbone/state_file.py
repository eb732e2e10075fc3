"""The file that keeps a KV cache between runs.

Layout: 8 bytes magic, 4 bytes little-endian header length, a JSON header, float32 logits, the cache. The header holds
the owner (model, context and prompt), the sizes and a sha256, for llama.cpp checks none of them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

_MAGIC = b"GLKV\x00\x01\r\n"
_PREFIX = struct.Struct("<8sI")
_MAX_HEADER_BYTES = 4096
MAX_STATE_BYTES = 512 << 20  # a full 2,048-row cache of the 135M model is 47 MB
_SIZES = ("rows", "n_logits", "kv_bytes")


@dataclass(frozen=True, slots=True)
class SavedState:
    """A cache of `rows` rows as llama.cpp's bytes `kv`, and the logits of its last row: (n_vocab,), or (0,) if
    unknown.
    """

    rows: int
    logits: Float32Array
    kv: bytearray


def write(path: Path, owner: Mapping[str, str], state: SavedState) -> None:
    """Writes `state` for `owner`, atomically: after a crash there is the old file or the new one.

    Raises ModelError: TOO_LARGE over `MAX_STATE_BYTES`, NO_SPACE, NOT_FOUND where the folder is missing.
    """
    header = {
        "owner": dict(owner),
        "rows": state.rows,
        "n_logits": len(state.logits),
        "kv_bytes": len(state.kv),
        "sha256": _digest(state.logits, state.kv),
    }
    encoded = json.dumps(header).encode()
    if len(encoded) > _MAX_HEADER_BYTES or state.logits.nbytes + len(state.kv) > MAX_STATE_BYTES:
        raise ModelError(
            Reason.TOO_LARGE, f"{path}: state of {len(state.kv)} bytes, header of {len(encoded)}: not saved"
        )
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(_PREFIX.pack(_MAGIC, len(encoded)) + encoded)
                file.write(state.logits.data)
                file.write(state.kv)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file.name)
                raise
    except OSError as error:
        reasons = {errno.ENOSPC: Reason.NO_SPACE, errno.EDQUOT: Reason.NO_SPACE, errno.ENOENT: Reason.NOT_FOUND}
        reason = reasons.get(error.errno or 0, Reason.INTERNAL)
        raise ModelError(reason, f"{path}: state not saved: {error.strerror}") from error


def read(path: Path, owner: Mapping[str, str]) -> SavedState:
    """Reads the state that was written for the same `owner`.

    Raises ModelError: NOT_FOUND if there is no file, BAD_INPUT if it is of another owner, TOO_LARGE, and CORRUPT for
    anything else that is wrong with it.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_PREFIX.size + _MAX_HEADER_BYTES)
            header, header_end = _parse(path, start, owner)
            body = 4 * header["n_logits"] + header["kv_bytes"]
            if body > MAX_STATE_BYTES:
                raise ModelError(Reason.TOO_LARGE, f"{path}: claims {body} bytes of state")
            if os.fstat(file.fileno()).st_size != header_end + body:
                raise ModelError(Reason.CORRUPT, f"{path}: saved state is cut short; delete it")
            logits, kv = np.empty(header["n_logits"], np.float32), bytearray(header["kv_bytes"])
            file.seek(header_end)
            file.readinto(logits.data.cast("B"))
            file.readinto(kv)
    except FileNotFoundError as error:
        raise ModelError(Reason.NOT_FOUND, f"{path}: no saved state") from error
    except OSError as error:
        raise ModelError(Reason.CORRUPT, f"{path}: state not readable: {error.strerror}") from error
    if _digest(logits, kv) != header["sha256"]:
        raise ModelError(Reason.CORRUPT, f"{path}: saved state is damaged; delete it")
    return SavedState(header["rows"], logits, kv)


def _parse(path: Path, start: bytes, owner: Mapping[str, str]) -> tuple[dict[str, Any], int]:
    """Returns the header and the offset of its end."""
    try:
        magic, length = _PREFIX.unpack_from(start)
        header_end = _PREFIX.size + length
        if magic != _MAGIC or length > _MAX_HEADER_BYTES:
            raise ValueError("magic")
        header = json.loads(start[_PREFIX.size : header_end])
        if not all(type(header[key]) is int and header[key] >= 0 for key in _SIZES):
            raise ValueError("sizes")
        found, _ = dict(header["owner"]), str(header["sha256"])
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not a saved state") from error
    differs = sorted(key for key in owner.keys() | found.keys() if owner.get(key) != found.get(key))
    if differs:
        raise ModelError(Reason.BAD_INPUT, f"{path}: state of another {', '.join(differs)}; save it anew")
    return header, header_end


def _digest(logits: Float32Array, kv: bytearray) -> str:
    digest = hashlib.sha256(logits.data)
    digest.update(kv)
    return digest.hexdigest()

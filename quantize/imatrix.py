"""Importance matrices: how strongly each input channel of each weight matrix is used, on text and on latents.

llama.cpp's library takes such a matrix but only its example program collects one; here it is collected through the
evaluation callback of the context: for every matrix product with a weight the squares of its input are summed. Files
are llama-imatrix's own GGUF form (`<tensor>.in_sum2`, `<tensor>.counts`), so either program can read the other's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from glasses.backbone.inputs import ModelInput, batches, check
from glasses.backbone.native import Native, c
from glasses.errors import ModelError, Reason
from quantize.gguf_header import check_header

CHUNK = 256  # rows a decode
_F32 = 0  # enum ggml_type
_lib: Any = c._lib
MAX_BYTES = 256 << 20


class _Tensor(ctypes.Structure):
    """struct ggml_tensor of ggml.h as of llama-cpp-python 0.3.36; its name is held against ggml's before use."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
    )


def _declare(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, list(arguments)
    return function


_get_name = _declare("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p)
_op_desc = _declare("ggml_op_desc", ctypes.c_char_p, ctypes.c_void_p)


@dataclass(slots=True)
class Importance:
    """Per weight matrix: the sum of squares of each input channel, and how many rows were summed."""

    sums: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)

    @property
    def means(self) -> dict[str, NDArray[np.float32]]:
        """Mean square of each input channel, which is what llama.cpp weighs rounding errors with."""
        return {name: total / np.float32(max(1, self.counts[name])) for name, total in self.sums.items()}

    def add(self, name: str, rows: NDArray[np.float32]) -> None:
        """Adds the inputs (n, columns) of one product."""
        squares = np.einsum("ij,ij->j", rows, rows, dtype=np.float32)
        self.sums[name] = self.sums.get(name, np.float32(0)) + squares
        self.counts[name] = self.counts.get(name, 0) + len(rows)


def collect(
    path: Path, prompts: Iterable[Sequence[ModelInput]], *, tick: Callable[[], None] = lambda: None
) -> Importance:
    """Runs `prompts` (lists of token ids and latents (n, n_embd)) through `path` and sums the inputs of its matrices.

    Raises ModelError: as LlamaBackbone; INTERNAL if this llama.cpp lays out its tensors in another way.
    """
    importance = Importance()
    failures: list[BaseException] = []

    @c.ggml_backend_sched_eval_callback
    def watch(pointer: int, ask: bool, _user: object) -> bool:
        try:
            return _watch(importance, pointer, ask)
        except BaseException as error:  # nothing may be raised through C
            failures.append(error)
            return False

    with _WatchedBackbone(path, watch) as native:
        for prompt in prompts:
            sizes = {"n_vocab": native.n_vocab, "n_embd": native.n_embd}
            rows = [part for i, given in enumerate(prompt) if len(part := check(given, f"part {i}", **sizes))]
            native.truncate(0)
            at = 0
            for piece, _ in batches(rows, CHUNK, "none", CHUNK):
                if native.decode(piece, at, hidden=False) != 0 or failures:
                    raise ModelError(Reason.INTERNAL, f"llama.cpp stopped: {failures or 'decode failed'}")
                at += len(piece)
            tick()
    return importance


class _WatchedBackbone(Native):
    """A context whose every matrix product calls back."""

    def __init__(self, path: Path, callback: Any) -> None:
        self._callback = callback
        super().__init__(path, n_ctx=2048, n_batch=CHUNK, n_threads=1)

    def _context_params(self, n_ctx: int, n_batch: int, n_threads: int) -> Any:
        params = super()._context_params(n_ctx, n_batch, n_threads)
        params.cb_eval = self._callback
        return params

    def __enter__(self) -> Native:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _watch(importance: Importance, pointer: int, ask: bool) -> bool:
    """Asked first whether a tensor is wanted, then called with it computed; True goes on."""
    if _op_desc(pointer) != b"MUL_MAT":
        return not ask
    tensor = _Tensor.from_address(pointer)
    weight, rows = tensor.src[0], tensor.src[1]
    if ask:
        return _get_name(weight).endswith(b".weight")
    if tensor.name != _get_name(pointer):
        raise ModelError(Reason.INTERNAL, "ggml_tensor is laid out in another way in this llama.cpp: no imatrix")
    given = _Tensor.from_address(rows)
    n_columns, n_rows = given.ne[0], given.ne[1] * given.ne[2] * given.ne[3]
    if given.type != _F32 or given.nb[0] != 4 or given.nb[1] != 4 * n_columns:
        raise ModelError(Reason.INTERNAL, f"inputs of {_get_name(weight)!r} are not plain float32 rows")
    flat = (ctypes.c_float * (n_columns * n_rows)).from_address(given.data)
    importance.add(_get_name(weight).decode(), np.frombuffer(flat, np.float32).reshape(n_rows, n_columns))
    return True


def write(importance: Importance, out: Path) -> None:
    """Writes llama-imatrix's GGUF form to `out`, a scratch path (see files.whole)."""
    writer = gguf.GGUFWriter(out, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", importance.datasets or ["unnamed"])
    writer.add_uint32("imatrix.chunk_size", CHUNK)
    writer.add_uint32("imatrix.chunk_count", max(1, max(importance.counts.values(), default=0) // CHUNK))
    for name in sorted(importance.sums):
        writer.add_tensor(f"{name}.in_sum2", importance.sums[name].reshape(1, -1))
        writer.add_tensor(f"{name}.counts", np.array([[importance.counts[name]]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(path: Path) -> Importance:
    """Reads a file of `write` or of llama-imatrix. Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT."""
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such file; make it with quantize imatrix")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over {MAX_BYTES >> 20} MiB is no importance matrix")
    check_header(path)
    try:
        tensors = {one.name: np.array(one.data, np.float32).reshape(-1) for one in gguf.GGUFReader(path).tensors}
    except Exception as error:  # its reader raises whatever numpy does on damaged bytes
        raise ModelError(Reason.CORRUPT, f"{path}: cut short or not GGUF ({error})") from error
    sums = {name.removesuffix(".in_sum2"): data for name, data in tensors.items() if name.endswith(".in_sum2")}
    if not sums or any(f"{name}.counts" not in tensors for name in sums):
        raise ModelError(Reason.CORRUPT, f"{path}: not an importance matrix, it lacks .in_sum2 or .counts tensors")
    return Importance(sums, {name: int(tensors[f"{name}.counts"].sum()) for name in sums})

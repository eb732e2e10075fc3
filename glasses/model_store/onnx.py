"""Opens ONNX files with threads and memory settings that suit a small board."""

from __future__ import annotations

import ctypes
import hashlib
from contextlib import suppress
from pathlib import Path

import onnxruntime

from glasses.errors import ModelError, Reason

WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"  # onnxruntime's name for it


def open_session(
    path: Path, *, n_threads: int, keep_arena: bool = True, also: str = "", weights: Path | None = None
) -> onnxruntime.InferenceSession:
    """Opens `path` with `n_threads` that do not spin. Raises ModelError: NOT_FOUND, CORRUPT.

    Without `keep_arena` onnxruntime frees its memory after each run: for a model whose largest input is rare. `also`
    names a tensor inside the graph that becomes an output. `weights` is the folder of the graph's external weights.
    """
    if not path.is_file():
        raise ModelError(Reason.NOT_FOUND, f"{path}: no such model file; run: glasses models pull")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning starves the backbone's threads
    options.enable_cpu_mem_arena = keep_arena
    options.log_severity_level = 3
    if weights:
        options.add_session_config_entry(WEIGHTS_FOLDER, str(weights))
    try:
        model = path.read_bytes() + _output(also) if also else path.read_bytes() if weights else str(path)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own classes, which it does not export
        raise ModelError(Reason.CORRUPT, f"{path}: onnxruntime cannot load it ({error}); pull it again") from error


def _output(name: str) -> bytes:
    """A serialised ModelProto that has only this output.

    Appended to another serialised ModelProto it adds the output: Protocol Buffers merge messages and join lists. The
    graph is field 7, its outputs are field 12, a value's name is field 1 (onnx.proto).
    """
    message = name.encode()
    for field in (1, 12, 7):
        if len(message) > 127:
            raise ValueError(f"{name}: too long a name for a tensor")  # its length would not fit the one byte below
        message = bytes([field << 3 | 2, len(message)]) + message
    return message


def give_back_memory() -> None:
    """Returns freed memory to the system, where the C library is glibc: a third of what opening models takes.

    onnxruntime rearranges weights in many small allocations, which glibc keeps after they are freed.
    """
    with suppress(OSError, AttributeError):  # another C library, which has no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def space_of(encoder_id: str, path: Path) -> str:
    """Names the latent space of an encoder file: its id and the head of its hash (see types.Latents)."""
    with path.open("rb") as file:
        return f"{encoder_id}:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"

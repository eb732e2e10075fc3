"""The calls into llama.cpp's C library: one model, one context, one batch, and the log.

llama.cpp does not check its input: more rows than `n_batch` fail an assertion that ends the process, a wrong width
reads foreign memory, NaN rows return success. `glasses.backbone.llama` checks everything first; the assertions here
find mistakes of this package only.
"""

from __future__ import annotations

import collections
import ctypes
import logging
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp
import numpy as np
from numpy.typing import NDArray

from glasses.errors import ModelError, Reason
from glasses.types import Float32Array

c: Any = llama_cpp.llama_cpp  # its type hints are stricter than ctypes is
# The rows of one decode that may give hidden states. llama.cpp runs the classifier over each of them and reserves
# n_vocab floats for it (6 MB in all at 49,152 tokens), so there are few.
HIDDEN_ROWS = 32
_SEQ = 0  # the one sequence of our one context
_GGML_TYPE_F16 = 1  # enum ggml_type
_log = logging.getLogger("glasses.llama_cpp")
_log.addHandler(logging.NullHandler())  # without a handler, logging prints warnings to stderr
_recent_errors: collections.deque[str] = collections.deque(maxlen=4)
# Of enum ggml_log_level of ggml.h (the comment in llama_cpp/_logger.py is outdated). Whatever llama.cpp says is DEBUG
# here: it logs a page of "info" with every model, warnings and an error for a normal cancel, and where something did
# fail, the exception that we raise carries its words.
_ERROR = 4


@c.llama_log_callback
def _route_log(level: int, text: bytes, _user: object) -> None:
    if level != _ERROR and not _log.isEnabledFor(logging.DEBUG):
        return
    line = text.decode("utf-8", "replace").strip()
    if level == _ERROR and line:
        _recent_errors.append(line)
    if line:
        _log.debug("%s", line)


c.llama_log_set(_route_log, ctypes.c_void_p(0))  # replaces the callback that importing llama_cpp installs
# ggml asks its abort callback, `bool callback(void * data)`, before every node of the graph: about a thousand times a
# token. As a Python function it would take the interpreter lock each time, and any busy Python thread would stall the
# model. So the callback is a function that the C library has already: strlen(data). `data` is `Native.abort_flag`, a
# buffer of two bytes: "\0\0" has length 0, which is false, and "\1\0" has length 1, which is true. `size_t` and `bool`
# are returned in the same register on every ABI that we run on (x86-64, AArch64, ARM), so 1 reads as true.
_length_is_not_zero = c.ggml_abort_callback(ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value)


def drain_errors() -> str:
    """Returns llama.cpp's last errors, for an error message, and forgets them."""
    text = "; ".join(_recent_errors)
    _recent_errors.clear()
    return text or "llama.cpp gave no reason"


@contextmanager
def interrupt_held_back() -> Iterator[None]:
    """While open, Ctrl-C waits until the end: Python drops a KeyboardInterrupt that is raised in a C callback.

    llama.cpp calls `_route_log` some hundred times while it loads a model. Another thread than the main one is never
    interrupted, so there this does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _free(context: Any, model: Any) -> None:
    c.llama_free(context)
    c.llama_model_free(model)


class Native:
    """One open model with one context (sequence 0). Not thread-safe, except `abort_flag`.

    Raises ModelError: NOT_FOUND, CORRUPT if llama.cpp cannot load the file, BAD_INPUT for a size under 1 or more
    context than the model was trained with, INTERNAL if there is no memory for the context.
    """

    def __init__(self, path: Path, *, n_ctx: int, n_batch: int, n_threads: int) -> None:
        if not path.is_file():
            raise ModelError(Reason.NOT_FOUND, f"{path}: no such backbone file")
        if min(n_ctx, n_batch, n_threads) < 1:
            raise ModelError(Reason.BAD_INPUT, f"n_ctx {n_ctx}, n_batch {n_batch}, n_threads {n_threads}: under 1")
        c.llama_backend_init()
        _recent_errors.clear()
        model_params = c.llama_model_default_params()
        model_params.n_gpu_layers = 0  # only the CPU backend can be aborted
        with interrupt_held_back():
            model = c.llama_model_load_from_file(str(path).encode(), model_params)  # by default through mmap
        if not model:
            raise ModelError(Reason.CORRUPT, f"{path}: not a model llama.cpp can load: {drain_errors()}")
        trained: int = c.llama_model_n_ctx_train(model)
        if n_ctx > trained:
            c.llama_model_free(model)
            raise ModelError(Reason.BAD_INPUT, f"{path}: n_ctx {n_ctx} is over the {trained} it was trained with")
        self.abort_flag = ctypes.create_string_buffer(2)
        with interrupt_held_back():
            context = c.llama_init_from_model(model, self._context_params(n_ctx, n_batch, n_threads))
        if not context:
            c.llama_model_free(model)
            raise ModelError(Reason.INTERNAL, f"{path}: no context of {n_ctx} rows: {drain_errors()}")
        self._free = weakref.finalize(self, _free, context, model)
        self._free.atexit = False  # a thread may be decoding while an interrupted process ends, which frees it anyway
        self.model, self.context = model, context
        self.vocab = c.llama_model_get_vocab(model)
        self.n_embd: int = c.llama_model_n_embd_inp(model)
        self.n_embd_out: int = c.llama_model_n_embd_out(model)
        self.n_vocab: int = c.llama_vocab_n_tokens(self.vocab)
        self.n_ctx: int = c.llama_n_ctx(context)
        self.n_batch: int = min(n_batch, c.llama_n_batch(context))
        self._memory = c.llama_get_memory(context)
        self._hidden_on = False
        self._init_batch()

    def _context_params(self, n_ctx: int, n_batch: int, n_threads: int) -> Any:
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = n_ctx, n_batch, n_batch, 1
        params.n_outputs_max = min(HIDDEN_ROWS, n_batch)
        params.n_threads = params.n_threads_batch = n_threads
        params.pooling_type = c.LLAMA_POOLING_TYPE_NONE
        params.type_k = params.type_v = _GGML_TYPE_F16
        # Measured on SmolLM2-135M Q4_1, 2 x86 cores, 256 rows: 806 ms with, 865 ms without; decode 9.2 and 9.8 ms.
        params.flash_attn_type = c.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.embeddings = False  # decode() turns it on for rows whose hidden state is read
        params.abort_callback = _length_is_not_zero
        params.abort_callback_data = ctypes.addressof(self.abort_flag)
        return params

    def _init_batch(self) -> None:
        # These members never change: every row belongs to sequence 0.
        n = self.n_batch
        self._seq_id = c.llama_seq_id(_SEQ)
        self._seq_ids = (ctypes.POINTER(c.llama_seq_id) * n)(*[ctypes.pointer(self._seq_id)] * n)
        self._n_seq_id = np.ones(n, np.int32)
        self._pos = np.zeros(n, np.int32)
        self._output = np.zeros(n, np.int8)

    def decode(self, rows: NDArray[np.int32] | Float32Array, position: int, *, hidden: bool) -> int:
        """Runs `rows`, token ids int32 (n,) or embeddings float32 (n, n_embd), at `position`; returns llama_decode's
        result.

        Afterwards the logits of the last row can be read; with `hidden` also the hidden state of every row, for which
        llama.cpp runs the classifier over every row.
        """
        n = len(rows)
        assert 0 < n <= (min(HIDDEN_ROWS, self.n_batch) if hidden else self.n_batch)
        assert rows.flags.c_contiguous
        self._pos[:n] = np.arange(position, position + n)
        self._output[:n] = hidden
        self._output[n - 1] = 1
        if hidden != self._hidden_on:
            c.llama_set_embeddings(self.context, hidden)
            self._hidden_on = hidden
        batch = c.llama_batch()
        batch.n_tokens = n
        if rows.ndim == 1:
            assert rows.dtype == np.int32
            batch.token, batch.embd = _pointer(rows, c.llama_token), None
        else:
            assert rows.dtype == np.float32
            assert rows.shape[1] == self.n_embd
            batch.token, batch.embd = None, _pointer(rows, ctypes.c_float)
        batch.pos = _pointer(self._pos, c.llama_pos)
        batch.n_seq_id = _pointer(self._n_seq_id, ctypes.c_int32)
        batch.seq_id = self._seq_ids
        batch.logits = _pointer(self._output, ctypes.c_int8)
        return c.llama_decode(self.context, batch)

    def last_logits(self) -> Float32Array:
        """A copy of the logits of the last decoded row, float32 (n_vocab,)."""
        pointer = c.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(pointer, (self.n_vocab,)).copy()

    def hidden_states(self, n: int) -> Float32Array:
        """A copy of the hidden states, after the final norm, of the n rows decoded with `hidden`: (n, n_embd)."""
        pointer = c.llama_get_embeddings(self.context)
        return np.ctypeslib.as_array(pointer, (n, self.n_embd_out)).copy()

    def truncate(self, n_past: int) -> None:
        """Removes the rows of the KV cache from `n_past` on; ModelError(INTERNAL) if the model cannot."""
        if n_past == 0:
            c.llama_memory_clear(self._memory, False)
        elif not c.llama_memory_seq_rm(self._memory, _SEQ, n_past, -1):
            raise ModelError(Reason.INTERNAL, f"llama.cpp cannot forget the rows after {n_past} of this model's state")

    def state(self) -> bytearray:
        """The KV cache as bytes, for `restore` of the same model, context and library version."""
        size = c.llama_state_seq_get_size(self.context, _SEQ)
        kv = bytearray(size)
        written = c.llama_state_seq_get_data(self.context, _bytes_of(kv), size, _SEQ)
        if written != size:
            raise ModelError(Reason.INTERNAL, f"llama.cpp saved {written} of {size} bytes of state: {drain_errors()}")
        return kv

    def restore(self, kv: bytearray) -> int:
        """Replaces the KV cache by what `state` returned; returns its rows, or 0 if llama.cpp refused it."""
        self.truncate(0)
        if not kv or c.llama_state_seq_set_data(self.context, _bytes_of(kv), len(kv), _SEQ) != len(kv):
            self.truncate(0)
            return 0
        return c.llama_memory_seq_pos_max(self._memory, _SEQ) + 1

    @property
    def is_open(self) -> bool:
        """Whether `close` was not called."""
        return self._free.alive

    def close(self) -> None:
        """Frees context and model, once. Their pointers must not be used afterwards."""
        self._free()

    def chat_template(self) -> str | None:
        """The GGUF's own chat template (Jinja), or None where it has none."""
        text = c.llama_model_chat_template(self.model, None)
        return text.decode("utf-8", "replace") if text else None

    def metadata(self, key: str) -> str | None:
        """A value of the GGUF header as text, cut at 255 bytes, or None if it has no such key."""
        buffer = ctypes.create_string_buffer(256)
        length = c.llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else None


def _pointer(array: NDArray[Any], ctype: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctype))


def _bytes_of(buffer: bytearray) -> Any:
    return (ctypes.c_uint8 * len(buffer)).from_buffer(buffer)

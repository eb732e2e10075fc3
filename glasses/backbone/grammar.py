"""Restricts what a backbone may write to a grammar: llama.cpp's GBNF, through its sampler.

`glasses.backbone.json_schema` (JSON of a schema) and `glasses.backbone.call_grammar` (calls of functions) write its
text. One `Grammar` follows one answer, token by token.
"""

from __future__ import annotations

import ctypes
import threading
import weakref

import numpy as np

from glasses.backbone.native import c, drain_errors
from glasses.backbone.vocabulary import Vocabulary
from glasses.errors import InputError, Reason
from glasses.media.native_output import native_output_to_log
from glasses.types import Float32Array

MAX_GRAMMAR_BYTES = 256 << 10
_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])  # llama_token_data of llama.h


class Grammar:
    """What may come next in one answer. Any thread may use it, one at a time."""

    def __init__(self, vocabulary: Vocabulary, gbnf: str) -> None:
        """`gbnf` has a rule `root`. Raises InputError: TOO_LARGE, BAD_INPUT if llama.cpp cannot use it."""
        data = gbnf.encode()
        if len(data) > MAX_GRAMMAR_BYTES:
            raise InputError(Reason.TOO_LARGE, f"a grammar of {len(data)} bytes; at most {MAX_GRAMMAR_BYTES} are used")
        self._vocabulary = vocabulary
        with native_output_to_log(gbnf):
            sampler = c.llama_sampler_init_grammar(vocabulary.handle, data, b"root")
        if not sampler:
            raise InputError(Reason.BAD_INPUT, f"llama.cpp cannot use the grammar: {drain_errors()}")
        self._sampler = sampler
        self._free = weakref.finalize(self, c.llama_sampler_free, sampler)
        self._free.atexit = False  # a thread may be sampling while an interrupted process ends
        self._lock = threading.Lock()

    def allows(self, token: int) -> bool:
        """Whether `token` may come next."""
        return bool(np.isfinite(self._apply(np.array([token], np.int32), np.zeros(1, np.float32)))[0])

    def restrict(self, logits: Float32Array) -> Float32Array:
        """`logits` (n,) with -inf for every token that may not come next; of n, those behind the vocabulary never may.

        Some 20 ms for 49,152 tokens inside a text: ask `allows` about the likeliest first.
        """
        out = np.full_like(logits, -np.inf)
        n_vocab = self._vocabulary.n_vocab
        out[:n_vocab] = self._apply(np.arange(n_vocab, dtype=np.int32), logits[:n_vocab])
        return out

    def accept(self, token: int) -> None:
        """Notes that `token` was chosen. It must be allowed: llama.cpp ends the process otherwise."""
        assert self.allows(token)
        with self._lock:
            c.llama_sampler_accept(self._sampler, token)

    def _apply(self, ids: np.ndarray, logits: Float32Array) -> Float32Array:
        candidates = np.zeros(len(ids), _CANDIDATE)
        candidates["id"] = ids
        # The grammar reads control tokens as the text of their names, which they are not.
        candidates["logit"] = np.where(self._vocabulary.is_control[ids], -np.inf, logits)
        array = c.llama_token_data_array(
            data=candidates.ctypes.data_as(ctypes.POINTER(c.llama_token_data)),
            size=len(candidates),
            selected=-1,
            sorted=False,
        )
        with self._lock:
            c.llama_sampler_apply(self._sampler, ctypes.byref(array))
        return np.where(self._vocabulary.is_control[ids], np.float32(-np.inf), candidates["logit"])

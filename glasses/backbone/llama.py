"""The backbone (the language model): tokens and embeddings in; tokens, log-probabilities and hidden states out.

Every input is checked before llama.cpp sees it. Feeding the embeddings of tokens gives bit for bit the logits that
feeding the tokens gives. The thread that opened a backbone owns it, until another one calls `own`: other threads may
call only `abort`, `clear_abort` and the tokenizer; anything else raises RuntimeError there.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glasses.backbone import sampling
from glasses.backbone.inputs import Hidden, ModelInput, batches, check
from glasses.backbone.native import HIDDEN_ROWS, Native, drain_errors
from glasses.backbone.prompt_format import PromptFormat
from glasses.backbone.state_file import SavedState
from glasses.backbone.token_rows import TokenRows, row_scale
from glasses.backbone.vocabulary import TextPieces, Vocabulary
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, Token, frozen


class LlamaBackbone:
    """One open GGUF model and its KV cache of `n_ctx` rows (a row is one token or one input embedding).

    `n_embd` is the width of an embedding, `n_past` the number of rows in the cache. After an error the cache is as it
    was before the call. `sha256` is computed when first needed, unless given. `chat_template` replaces the GGUF's own.

    Raises ModelError: NOT_FOUND, CORRUPT (not a model), BAD_INPUT (an architecture that takes no embeddings, or sizes
    that do not fit it), INTERNAL (no memory for the context).
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int = 2048,
        n_batch: int = 512,
        n_threads: int = 2,
        sha256: str | None = None,
        chat_template: str | None = None,
    ) -> None:
        self._owner = threading.get_ident()
        self._path, self._chat_template = path, chat_template
        if sha256 is not None:
            self.sha256 = sha256
        self._native = Native(path, n_ctx=n_ctx, n_batch=min(n_batch, n_ctx), n_threads=n_threads)
        self.n_batch, self.n_embd = self._native.n_batch, self._native.n_embd
        self.n_vocab, self.n_ctx = self._native.n_vocab, self._native.n_ctx
        try:
            self.vocabulary = Vocabulary(self._native)
            self._rows = TokenRows(path, self.n_vocab, self.n_embd, row_scale(path, self._native))
        except BaseException:
            self._native.close()
            raise
        self.name = path.stem
        self.n_past = 0
        self._calls = 0  # of methods that change the context, so that a running generation notices them
        self._logits: Float32Array | None = None
        self._hidden: Float32Array | None = None

    @property
    def eos(self) -> frozenset[int]:
        """All tokens that end a generation."""
        return self.vocabulary.eos

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the model file, hex."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def prompt_format(self) -> PromptFormat:
        """How a conversation is written for this model. Raises ModelError(UNSUPPORTED) if that is not known."""
        return self.vocabulary.prompt_format(self._path, self._chat_template)

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """See `Vocabulary.tokenize`: use special=False for text that comes from outside."""
        return self.vocabulary.tokenize(text, special=special)

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """See `Vocabulary.detokenize`."""
        return self.vocabulary.detokenize(ids, special=special)

    def token_rows(self, ids: Sequence[int]) -> Float32Array:
        """The input embeddings of `ids`, float32 (len(ids), n_embd), as llama.cpp itself looks them up."""
        return self._rows.read(ids)

    def feed(self, inputs: Sequence[ModelInput], *, hidden: Hidden = "none") -> Float32Array | None:
        """Appends `inputs` to the context, in order: token ids, or embeddings float32 (n, n_embd).

        Each input is decoded by itself, in batches of n_batch rows. Returns the hidden states after the final norm, if
        asked for: of the last row (1, n_embd), or of all (n, n_embd), for which a batch has 32 rows, which is slower.
        Another batch shape may change the last bits of a result.

        Raises ModelError: BAD_INPUT (nothing to feed, token out of range, wrong dtype, width or values), CONTEXT_FULL
        before anything is decoded, ABORTED.
        """
        self._check_owner()
        sizes = {"n_vocab": self.n_vocab, "n_embd": self.n_embd}
        checked = [rows for i, item in enumerate(inputs) if len(rows := check(item, f"part {i}", **sizes))]
        total = sum(len(rows) for rows in checked)
        if total == 0:
            raise ModelError(Reason.BAD_INPUT, "nothing to feed: no part has a token or a latent")
        if self.n_past + total > self.n_ctx:
            raise ModelError(
                Reason.CONTEXT_FULL,
                f"{total} more rows do not fit: {self.n_past} of {self.n_ctx} are taken; roll back or open with more",
            )
        self._calls += 1
        start, read = self.n_past, []
        try:
            for rows, wanted in batches(checked, self._native.n_batch, hidden, HIDDEN_ROWS):
                self._decode(rows, hidden=wanted)
                if wanted:
                    read.append(self._native.hidden_states(len(rows)))
            self._read_outputs(read[-1][-1] if read else None)
        except BaseException:
            self._truncate(start)
            raise
        if hidden == "none":
            return None
        return np.concatenate(read) if hidden == "all" else read[-1][-1:].copy()

    def _decode(self, rows: NDArray[Any], *, hidden: bool) -> None:
        """Decodes one batch; on failure the cache is as it was before."""
        result = self._native.decode(rows, self.n_past, hidden=hidden)
        if result == 0:
            self.n_past += len(rows)
            return
        self._truncate(self.n_past)
        if result == 2:
            drain_errors()  # what llama.cpp says of an abort belongs to no later error
            self._raise_aborted()
        if result == 1:
            raise ModelError(Reason.CONTEXT_FULL, f"no free rows for {len(rows)} after {self.n_past}")
        raise ModelError(Reason.INTERNAL, f"llama_decode returned {result}: {drain_errors()}")

    def _read_outputs(self, hidden: Float32Array | None) -> None:
        logits = self._native.last_logits()
        if not np.isfinite(logits).all():
            raise ModelError(Reason.BAD_INPUT, "the model's output is not finite: the latents fed make it overflow")
        self._logits, self._hidden = frozen(logits), None if hidden is None else frozen(hidden.copy())

    def _truncate(self, n_past: int) -> None:
        self._native.truncate(n_past)
        self.n_past, self._logits, self._hidden = n_past, None, None

    def _raise_aborted(self) -> None:
        self.clear_abort()
        raise ModelError(Reason.ABORTED, "aborted by another thread")

    def logits(self) -> Float32Array:
        """The logits of the last fed row, float32 (n_vocab,), read-only. ModelError(BAD_INPUT) if there are none."""
        if self._logits is None:
            raise ModelError(Reason.BAD_INPUT, "no logits: feed at least one row first")
        return self._logits

    def generate(
        self,
        turn_id: int,
        *,
        max_tokens: int,
        want_latents: bool = False,
        top_k: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
    ) -> Iterator[Token]:
        """Streams the continuation of what was fed; exactly the last token has `last` set.

        It ends with an end-of-generation token (whose text is empty), after `max_tokens`, or when the context is full.
        A character whose bytes span tokens comes with the token that completes it (`vocabulary.TextPieces`). `top`
        holds the `top_k` most likely tokens; `latent` the hidden state that predicted the token (W.latent gives its
        logits), for which the prompt must have been fed with hidden="last". Every token but the last one is in the KV
        cache afterwards.

        Raises ModelError: BAD_INPUT at once, ABORTED from the iteration, with the tokens so far in the cache.
        """
        self._check_owner()
        if max_tokens < 1 or not 0 <= top_k <= self.n_vocab:
            raise ModelError(Reason.BAD_INPUT, f"max_tokens {max_tokens} or top_k {top_k} is out of range")
        how = sampling.Sampling(temperature, top_p, repetition_penalty)
        self.logits()
        if want_latents and self._hidden is None:
            raise ModelError(Reason.BAD_INPUT, 'latents are wanted: feed the prompt with hidden="last"')
        self._calls += 1
        return self._stream(turn_id, how, max_tokens=max_tokens, want_latents=want_latents, top_k=top_k, seed=seed)

    def _stream(
        self, turn_id: int, how: sampling.Sampling, *, max_tokens: int, want_latents: bool, top_k: int, seed: int
    ) -> Iterator[Token]:
        calls, rng, generated = self._calls, np.random.default_rng(seed), []
        text = TextPieces()
        while True:
            self._check_owner()
            if calls != self._calls:
                raise RuntimeError("the context was fed, rolled back or generated from while this generation ran")
            if generated:
                self._decode(np.array(generated[-1:], np.int32), hidden=want_latents)
                self._read_outputs(self._native.hidden_states(1)[0] if want_latents else None)
            elif self._native.abort_flag.raw[0]:
                self._raise_aborted()
            logits = self.logits()
            token = sampling.choose(logits, how, generated, rng)
            generated.append(token)
            logprobs = sampling.log_softmax(logits)
            last = token in self.eos or len(generated) == max_tokens or self.n_past == self.n_ctx
            yield Token(
                turn_id=turn_id,
                token_id=token,
                text=text.add(self.vocabulary.token_bytes(token)),
                logprob=float(logprobs[token]),
                latent=self._hidden if want_latents else None,
                last=last,
                top=sampling.most_likely(logprobs, top_k),
            )
            if last:
                return

    def rollback(self, n_past: int) -> None:
        """Removes the rows from `n_past` on; feed something before generating again. ModelError(BAD_INPUT)."""
        self._check_owner()
        if not 0 <= n_past <= self.n_past:
            raise ModelError(Reason.BAD_INPUT, f"cannot roll back to {n_past}: the context has {self.n_past} rows")
        self._calls += 1
        if n_past < self.n_past:
            self._truncate(n_past)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is fed while this is open is gone at its end: the rows and the logits are those of before."""
        n_past, logits, hidden = self.n_past, self._logits, self._hidden
        try:
            yield
        finally:
            self.rollback(n_past)
            self._logits, self._hidden = logits, hidden

    def snapshot(self) -> SavedState:
        """The context as it is, with the logits of its last row, for `restore` of this backbone."""
        self._check_owner()
        logits = np.zeros(0, np.float32) if self._logits is None else self._logits
        return SavedState(self.n_past, logits, self._native.state())

    def restore(self, saved: SavedState) -> None:
        """Brings a snapshot back. ModelError(CORRUPT), and an empty context, if llama.cpp refuses it."""
        self._check_owner()
        self._calls += 1
        self._truncate(0)
        if self._native.restore(saved.kv) != saved.rows:
            self._truncate(0)
            raise ModelError(Reason.CORRUPT, f"llama.cpp refuses this state: {drain_errors()}")
        self.n_past = saved.rows
        self._logits = frozen(saved.logits) if len(saved.logits) else None

    def abort(self) -> None:
        """Stops a running `feed` or generation within one decode step, from any thread: it raises ModelError(ABORTED).
        If none runs, the next one is stopped, so call `clear_abort` before a new turn.
        """
        self._native.abort_flag[0] = b"\x01"

    def clear_abort(self) -> None:
        """Takes back an `abort` that stopped nothing."""
        self._native.abort_flag[0] = b"\x00"

    def own(self) -> None:
        """Makes the calling thread the owner. Whoever calls it makes sure that no other thread is using it."""
        self._owner = threading.get_ident()

    def close(self) -> None:
        """Frees model and context; may be called twice. Nothing else works afterwards."""
        if self._native.is_open:
            self._check_owner()
            self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_owner(self) -> None:
        if not self._native.is_open:
            raise RuntimeError("the backbone is closed")
        if threading.get_ident() != self._owner:
            raise RuntimeError("a backbone belongs to the thread that opened it; only abort() works from others")

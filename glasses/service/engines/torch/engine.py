"""The backbone in torch, its weights dequantised from the GGUF that the device runs.

Tokens and token rows come from the same file through llama.cpp, so that both backends agree on them.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, GgufConfig
from transformers.utils import logging

from glasses.backbone.inputs import ModelInput, check
from glasses.backbone.prompt import SYSTEM
from glasses.errors import ModelError, Reason
from glasses.runtime.bundle import LoadedBundle
from glasses.service.engines.engine import Ability, Context, Output, cut

CHUNK = 64  # rows between two checks of the abort flag


def load_model(gguf: Path, *, dtype: torch.dtype = torch.bfloat16) -> Any:
    """The transformers model of a GGUF, in evaluation mode with gradients off for every weight.

    bfloat16 is about ten times faster than float32 on processors with AVX512-BF16.
    """
    logging.disable_progress_bar()
    plain = GgufConfig(dequantize=True)  # without it the weights stay packed and every product unpacks them again
    folder, name = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, quantization_config=plain)
    return model.eval().requires_grad_(False)


class TorchEngine:
    """An engine with a KV cache for every context. `gradient_api.TorchGradientEngine` adds training."""

    can: tuple[Ability, ...] = ("latent", "hidden", "tokens")

    def __init__(self, loaded: LoadedBundle, model: Any) -> None:
        self.loaded, self.model = loaded, model
        backbone = loaded.backbone
        self._sizes = {"n_vocab": backbone.n_vocab, "n_embd": backbone.n_embd}
        self._aborted = False
        self._read = (len(backbone.tokenize(backbone.prompt_format.suffix)), 1)
        self.chat = Context(0, None)
        self.feed(self.chat, [backbone.tokenize(backbone.prompt_format.prefix(SYSTEM))], hidden=False)
        self._prefix = self.chat.state
        self.chat.state = copy.deepcopy(self._prefix)

    def feed(self, context: Context, inputs: Sequence[ModelInput], *, hidden: bool) -> Output:
        """See `Engine.feed`."""
        rows = torch.cat([self.embed(item, f"part {i}") for i, item in enumerate(inputs)] or [torch.zeros(0)])
        if not len(rows):
            raise ModelError(Reason.BAD_INPUT, "nothing to feed: no part has a token or a latent")
        start, n_ctx = context.n_past, self.loaded.backbone.n_ctx
        if start + len(rows) > n_ctx:
            raise ModelError(Reason.CONTEXT_FULL, f"{len(rows)} more rows do not fit: {start} of {n_ctx} are taken")
        cache = context.state if context.state is not None else DynamicCache()
        if context is not self.chat and cache is self.chat.state:
            cache = copy.deepcopy(cache)
        context.state = cache
        try:
            state, logits = self._run(rows, cache)
        except BaseException:
            _cut(cache, start)
            raise
        context.n_past = start + len(rows)
        return Output(logits, state if hidden else None)

    def slices(self, inputs: Sequence[ModelInput]) -> list[list[ModelInput]]:
        """See `Engine.slices`."""
        return cut(inputs, CHUNK, self.loaded.backbone.n_ctx)

    def _run(self, rows: Tensor, cache: Any) -> tuple[np.ndarray, np.ndarray]:
        state = rows[:0]
        with torch.no_grad():
            for i in range(0, len(rows), CHUNK):
                if self._aborted:
                    raise ModelError(Reason.ABORTED, "aborted by another thread")
                chunk = rows[None, i : i + CHUNK]
                state = self.model.model(inputs_embeds=chunk, past_key_values=cache, use_cache=True)[0][0, -1]
            logits = self.model.lm_head(state).float().numpy()
        if not np.isfinite(logits).all():
            raise ModelError(Reason.BAD_INPUT, "the model's output is not finite: the latents fed make it overflow")
        return state.float().numpy(), logits

    def embed(self, item: ModelInput, where: str) -> Tensor:
        """An input as rows (n, n_embd) of the model's type. Raises ModelError(BAD_INPUT), which names it `where`."""
        rows = check(item, where, **self._sizes)
        if rows.ndim == 1:
            return self.model.get_input_embeddings()(torch.from_numpy(rows.astype(np.int64)))
        return torch.from_numpy(rows.copy()).to(self.model.dtype)

    def prefix(self, n: int) -> Any:
        """A new KV cache of the system prompt for `n` sequences."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate((cached.keys, cached.values) for cached in self._prefix.layers):
            cache.update(keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1), layer)
        return cache

    def values(self, context: Context) -> np.ndarray | None:
        """See `ReadsValues.values`."""
        if context.n_past < max(self._read):
            return None
        layers = [layer.values[0] for layer in context.state.layers]
        return torch.cat([v[:, context.n_past - n].flatten() for v in layers for n in self._read]).float().numpy()

    def truncate(self, context: Context, n_past: int) -> None:
        """See `Engine.truncate`."""
        if not 0 <= n_past <= context.n_past:
            raise ModelError(Reason.BAD_INPUT, f"cannot roll back to {n_past}: the context has {context.n_past} rows")
        if n_past < context.n_past:
            if context.state is self.chat.state:
                context.state = copy.deepcopy(context.state)
            _cut(context.state, n_past)
        context.n_past = n_past

    def copy(self, context: Context) -> Context:
        """See `Engine.copy`."""
        return Context(context.n_past, copy.deepcopy(context.state))

    def abort(self) -> None:
        """See `Engine.abort`."""
        self._aborted = True

    def clear_abort(self) -> None:
        """See `Engine.clear_abort`."""
        self._aborted = False

    def close(self) -> None:
        """See `Engine.close`."""
        self.loaded.close()


def _cut(cache: DynamicCache, n_rows: int) -> None:
    """Cuts every layer to its first `n_rows` rows; after an aborted run, layers differ in how many they have."""
    for layer in cache.layers:
        layer.crop(n_rows - layer.get_seq_length())  # a negative number says how many rows to drop

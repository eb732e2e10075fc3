"""The deployed backbone in torch, frozen, with the weights of the GGUF that will run.

Recipes compute the loss of a reply through `Frozen`, so the same code trains through this network in its own process
or, with `--through`, through a service (`remote_backbone`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from models.recipes.chat_frame import PREFIX, check_frame

Prompt = Sequence[Tensor | list[int]]  # rows (n, n_embd) and token ids, in order


class Frozen(Protocol):
    """A backbone that gradients go through."""

    def ids(self, text: str) -> list[int]:
        """Token ids; control tokens are understood."""
        ...

    def rows(self, text: str) -> Tensor:
        """Token rows float32 (n, n_embd)."""
        ...

    def answer_loss(self, prompts: Sequence[Prompt], replies: Sequence[list[int]]) -> Tensor:
        """Mean cross-entropy of the replies' tokens after `prompts` (everything past the prompt's head)."""
        ...


def load(gguf: Path, *, dtype: torch.dtype = torch.bfloat16) -> tuple[Any, Any]:
    """Returns (model, tokenizer) of transformers, in evaluation mode with gradients off for every weight.

    bfloat16 is about ten times faster than float32 on processors with AVX512-BF16.
    """
    folder, name = str(gguf.parent), gguf.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    plain = GgufConfig(dequantize=True)  # else the weights stay packed and every product unpacks them again
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, quantization_config=plain)
    return model.eval().requires_grad_(False), tokenizer


@dataclass(frozen=True, slots=True)
class Backbone:
    """The frozen model, its tokenizer, and the keys and values of the prompt's unchanging head."""

    model: Any
    tokenizer: Any
    prefix: Any

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def embed(self, ids: list[int]) -> Tensor:
        """Token rows, (len(ids), n_embd)."""
        return self.model.get_input_embeddings()(torch.tensor(ids, dtype=torch.long))

    def rows(self, text: str) -> Tensor:
        """See `Frozen.rows`."""
        return self.embed(self.ids(text)).float()

    def cache(self, n: int) -> Any:
        """A fresh cache of the prefix for `n` sequences."""
        cache = type(self.prefix)()
        for layer, (keys, values) in enumerate((part.keys, part.values) for part in self.prefix.layers):
            cache.update(keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1), layer)
        return cache

    def answer_loss(self, prompts: Sequence[Prompt], replies: Sequence[list[int]]) -> Tensor:
        """See `Frozen.answer_loss`."""
        sequences = [
            torch.cat([self.embed(part) if isinstance(part, list) else part.to(self.model.dtype) for part in parts])
            for parts in prompts
        ]
        ends = [(len(rows) - 1, len(reply)) for rows, reply in zip(sequences, replies, strict=True)]
        sequences = [torch.cat([rows, self.embed(reply)]) for rows, reply in zip(sequences, replies, strict=True)]
        width = max(map(len, sequences))
        batch = torch.stack([functional.pad(s, (0, 0, 0, width - len(s))) for s in sequences])
        # Padding is on the right and attention is causal: no reply sees it.
        hidden = self.model.model(inputs_embeds=batch, past_key_values=self.cache(len(batch)), use_cache=True)[0]
        picked = torch.cat([hidden[i, at : at + n] for i, (at, n) in enumerate(ends)])
        wanted = torch.tensor([token for reply in replies for token in reply])
        return functional.cross_entropy(self.model.lm_head(picked).float(), wanted)


def open_backbone(path: Path, *, dtype: torch.dtype = torch.bfloat16) -> Backbone:
    """Loads the GGUF and runs the system prompt through it once. Raises ModelError(UNSUPPORTED) as `check_frame`."""
    check_frame(path)
    model, tokenizer = load(path, dtype=dtype)
    ids = tokenizer(PREFIX, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        prefix = model.model(input_ids=ids, use_cache=True).past_key_values
    return Backbone(model, tokenizer, prefix)

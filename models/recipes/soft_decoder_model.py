"""Whisper's decoder in torch, frozen. Its cross-attention reads latents and, after them, learned rows (`Tail`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from glasses.model_store.ctranslate2 import read_tensors
from glasses.model_store.whisper_decoder_weights import N_PIECES, NO_TIMESTAMPS, START
from quantize.whisper_decoder import END, NEVER

D_HEAD = 64
WINDOW = 1500  # latents of 30 s, the only length that Whisper was shown


class Tail(nn.Module):
    """Keys and values (n_layer, n, n_state) after the latents', and how much each head looks there.

    They begin as what the decoder sees of silence, each standing for many.
    """

    def __init__(self, decoder: Decoder, silence: NDArray[Any], n: int) -> None:
        super().__init__()
        rows = torch.from_numpy(silence[np.linspace(100, len(silence) - 1, n).astype(int)].copy())
        both = [decoder.looked_at(rows, layer) for layer in range(decoder.n_layer)]
        self.k = nn.Parameter(torch.stack([keys for keys, _ in both]))
        self.v = nn.Parameter(torch.stack([values for _, values in both]))
        self.b = nn.Parameter(torch.full((decoder.n_layer, decoder.n_head, n), math.log(0.8 * WINDOW / n)))


@dataclass(frozen=True, slots=True)
class Decoder:
    """The network's tensors by their names in CTranslate2's file, and the scores that suppress subwords."""

    weights: dict[str, Tensor]
    never: Tensor

    @classmethod
    def load(cls, path: Path, never: Sequence[int]) -> Decoder:
        """From `model.bin`. Raises ModelError: CORRUPT, TOO_LARGE."""
        found = {name: value for name, value in read_tensors(path).items() if name.startswith("decoder/")}
        weights = {n: torch.from_numpy(v.astype(np.float32)) for n, v in found.items() if v.dtype == np.float16}
        scores = torch.zeros(N_PIECES)
        scores[[i for i in never if i < N_PIECES]] = NEVER
        return cls(weights, scores)

    @property
    def n_layer(self) -> int:
        """How many layers it has."""
        return sum(name.endswith("ffn/linear_0/bias") for name in self.weights)

    @property
    def n_head(self) -> int:
        """Heads of each attention."""
        return self.weights["decoder/layer_norm/beta"].numel() // D_HEAD

    def looked_at(self, latents: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values (..., T, n_state) of latents for one layer's cross-attention."""
        keys, values = self._linear(latents, f"decoder/layer_{layer}/attention/linear_1").chunk(2, -1)
        return keys, values

    def look(self, latents: Tensor, mask: Tensor, tail: Tail | None) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of latents (B, T, n_state) and which of them are real (B, T): keys, values and bias of each layer."""
        bias = torch.where(mask, 0.0, NEVER)[:, None, None]
        out = []
        for i in range(self.n_layer):
            keys, values = self.looked_at(latents, i)
            added = bias
            if tail is not None:
                keys = torch.cat([keys, tail.k[i].expand(len(keys), -1, -1)], 1)
                values = torch.cat([values, tail.v[i].expand(len(values), -1, -1)], 1)
                learned = tail.b[i][None, :, None].expand(len(keys), -1, -1, -1)
                added = torch.cat([bias.expand(-1, self.n_head, -1, -1), learned], -1)
            out.append((self._heads(keys), self._heads(values), added))
        return out

    def __call__(self, ids: Tensor, seen: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """Subwords (B, n) -> states (B, n, n_state)."""
        x = self.weights["decoder/embeddings/weight"][ids]
        x = x + self.weights["decoder/position_encodings/encodings"][: ids.shape[1]]
        for i, (keys, values, bias) in enumerate(seen):
            layer = f"decoder/layer_{i}"
            fused = self._linear(
                self._norm(x, f"{layer}/self_attention/layer_norm"), f"{layer}/self_attention/linear_0"
            )
            own = F.scaled_dot_product_attention(*map(self._heads, fused.chunk(3, -1)), is_causal=True)
            x = x + self._linear(_joined(own), f"{layer}/self_attention/linear_1")
            query = self._linear(self._norm(x, f"{layer}/attention/layer_norm"), f"{layer}/attention/linear_0")
            heard = F.scaled_dot_product_attention(self._heads(query), keys, values, attn_mask=bias)
            x = x + self._linear(_joined(heard), f"{layer}/attention/linear_2")
            up = F.gelu(self._linear(self._norm(x, f"{layer}/ffn/layer_norm"), f"{layer}/ffn/linear_0"))
            x = x + self._linear(up, f"{layer}/ffn/linear_1")
        return self._norm(x, "decoder/layer_norm")

    def scores(self, states: Tensor) -> Tensor:
        """(..., N_PIECES)."""
        return F.linear(states, self.weights["decoder/embeddings/weight"][:N_PIECES]) + self.never

    @torch.no_grad()
    def greedy(self, seen: Sequence[tuple[Tensor, Tensor, Tensor]], most: int) -> list[list[int]]:
        """The likeliest subwords of each sequence, at most `most`."""
        ids = torch.tensor([[START, NO_TIMESTAMPS]]).expand(len(seen[0][0]), -1)
        over = torch.zeros(len(ids), dtype=torch.bool)
        while ids.shape[1] < most + 2 and not over.all():
            best = self.scores(self(ids, seen)[:, -1]).argmax(-1)
            best[over] = END
            over |= best == END
            ids = torch.cat([ids, best[:, None]], 1)
        return [[subword for subword in row[2:].tolist() if subword != END] for row in ids]

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"])

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_head, D_HEAD)).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)

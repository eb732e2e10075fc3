"""The speech connector in torch: encoder latents -> one state per 80 ms -> a distribution over the backbone's own
tokens.

Knows the shapes of the encoder and of the embedding table, not the training data. The classifier *is* the embedding
table: a state is read by its product with the rows of the tokens it may emit, so states live in the backbone's space
from the start. Halfway up, two letters of 40 ms are read from every state (a CTC of their own) and told to the blocks
above: spelling is learned from little data, and a word that was never met whole is still heard (hierarchical CTC,
Higuchi et al. 2022; self-conditioning, Nozaki and Komatsu 2021).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STACK = 4  # 20 ms latents in one position of 80 ms
D_LATENT = 768
N_MIXED = 8  # as glasses/connectors/words.py
N_AROUND = 8
LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
PER_STATE = 2  # letters read from one position of 80 ms


class Block(nn.Module):
    """Pre-norm block: depthwise convolution (order), self-attention (context), feed-forward."""

    def __init__(self, width: int, n_head: int, dropout: float) -> None:
        super().__init__()
        self.n_head, self.dropout = n_head, dropout
        self.norm_conv, self.norm_attn, self.norm_ffn = (nn.LayerNorm(width) for _ in range(3))
        self.conv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, width), mask (B, T) true where real -> (B, T, width)."""
        h = self.norm_conv(x)
        if mask is not None:
            h = h * mask[..., None].to(h.dtype)
        x = x + self.conv(h.transpose(1, 2)).transpose(1, 2)
        q, k, v = self.qkv(self.norm_attn(x)).unflatten(-1, (3, self.n_head, -1)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None, None, :])
        x = x + F.dropout(self.mix(h.transpose(1, 2).flatten(2)), self.dropout, self.training)
        h = self.down(F.gelu(self.up(self.norm_ffn(x))))
        return x + F.dropout(h, self.dropout, self.training)


class Heard(NamedTuple):
    """What the connector makes of P positions of 80 ms; `letters` are two a position."""

    states: Tensor
    blank: Tensor
    residual: Tensor
    letters: Tensor


class SpeechConnector(nn.Module):
    """(B, T, 768) latents -> Heard: states (B, P, n_embd), blank scores (B, P), residuals and letters; P = T // 4."""

    def __init__(
        self, n_embd: int, *, width: int = 384, depth: int = 5, n_head: int = 6, dropout: float = 0.15
    ) -> None:
        super().__init__()
        self.n_lower = (depth + 1) // 2  # blocks below the letters
        self.norm_in = nn.LayerNorm(STACK * D_LATENT)
        self.enter = nn.Linear(STACK * D_LATENT, width)
        self.blocks = nn.ModuleList(Block(width, n_head, dropout) for _ in range(depth))
        self.norm_letters, self.letters = nn.LayerNorm(width), nn.Linear(width, PER_STATE * (1 + len(LETTERS)))
        self.told = nn.Linear(PER_STATE * (1 + len(LETTERS)), width)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)
        self.norm_out = nn.LayerNorm(width)
        self.leave = nn.Linear(width, n_embd)
        self.blank = nn.Linear(width, 1)
        self.residual = nn.Linear(width, n_embd)  # what a soft token loses: how it was said, and what it almost was
        nn.init.zeros_(self.residual.weight)
        nn.init.zeros_(self.residual.bias)
        self.begin, self.end = (nn.Parameter(torch.zeros(N_AROUND, n_embd)) for _ in range(2))

    def place_rows(self, row: Tensor) -> None:
        """Starts the rows around the spoken ones at a token's row (n_embd,) that means little."""
        with torch.no_grad():
            self.begin.copy_(row.expand_as(self.begin) + 0.02 * torch.randn_like(self.begin))
            self.end.copy_(row.expand_as(self.end) + 0.02 * torch.randn_like(self.end))

    def spell(self, latents: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The lower half: states (B, P, width) and letter scores (B, 2 P, 1 + 28). `mask` (B, P) is true where a
        position is real, None means all.
        """
        b, n = len(latents), latents.shape[1] // STACK
        x = self.enter(self.norm_in(latents[:, : n * STACK].reshape(b, n, STACK * D_LATENT)))
        for block in self.blocks[: self.n_lower]:
            x = block(x, mask)
        return x, self.letters(self.norm_letters(x)).reshape(b, n * PER_STATE, -1)

    def forward(self, latents: Tensor, mask: Tensor | None = None) -> Heard:
        """`mask` as in spell."""
        x, letters = self.spell(latents, mask)
        x = x + self.told(letters.float().softmax(-1).to(x.dtype).reshape(*x.shape[:2], -1))
        for block in self.blocks[self.n_lower :]:
            x = block(x, mask)
        x = self.norm_out(x)
        return Heard(self.leave(x), self.blank(x).squeeze(-1), self.residual(x), letters)


def scores(states: Tensor, blank: Tensor, table: Tensor) -> Tensor:
    """Returns CTC scores (B, T, 1 + n_pieces); index 0 is the blank. `table` is (n_pieces, n_embd)."""
    return torch.cat([blank[..., None], states @ table.T], dim=-1)


def collapse(best: list[int]) -> list[tuple[int, int, int]]:
    """Greedy CTC path -> (piece, first position, end position) of each run that is not blank."""
    runs, start = [], 0
    for i in range(1, len(best) + 1):
        if i == len(best) or best[i] != best[start]:
            if best[start] != 0:
                runs.append((best[start] - 1, start, i))
            start = i
    return runs


def spelled(sentence: str) -> list[int]:
    """The sentence as letter indices for CTC, 0 being the blank."""
    return [1 + LETTERS.index(c) for c in sentence.lower() if c in LETTERS]


def soft_rows(probabilities: Tensor, residual: Tensor, table: Tensor) -> Tensor:
    """(P, 1 + n_pieces) and (P, n_embd) of one clip -> one row a spoken run, (n_runs, n_embd); as WordConnector
    does.
    """
    rows = []
    for _, first, after in collapse(probabilities.argmax(-1).tolist()):
        weights, best = probabilities[first:after, 1:].mean(0).topk(N_MIXED)
        rows.append((weights / weights.sum()) @ table[best] + residual[first:after].mean(0))
    return torch.stack(rows) if rows else table[:0]

"""Losses and gradients through the frozen backbone; functions without state.

The inputs of a sequence that gradients are wanted for become float32 tensors with requires_grad. Long batches are cut
so that at most `MAX_POSITIONS` rows are in the network at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glasses.backbone.inputs import ModelInput
from glasses.errors import InputError, ModelError, Reason
from glasses.service.engines.torch.engine import TorchEngine
from glasses.types import Float32Array

MAX_POSITIONS = 1024  # in the network at once: some 2 MB of activations each in float32 (SmolLM2-135M)
MAX_TOTAL = 16_384  # of one request


@dataclass(frozen=True, slots=True)
class Fed:
    """A sequence: its `rows` (n, n_embd) as fed, and the float32 `leaves` that gradients are wanted for."""

    rows: Tensor
    leaves: tuple[Tensor, ...]
    targets: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


def sequence(
    engine: TorchEngine, inputs: Sequence[ModelInput], wanted: Sequence[bool], targets: Sequence[int] = ()
) -> Fed:
    """The sequence of `inputs`; `wanted` marks those that get gradients. `targets` are what the last rows predict.

    All targets but the last are among the inputs, too. Raises ModelError(BAD_INPUT) for an input that cannot be fed.
    """
    tensors, leaves = [], []
    for i, (item, has_gradient) in enumerate(zip(inputs, wanted, strict=True)):
        rows = engine.embed(item, f"part {i}")
        if has_gradient:
            leaf = torch.from_numpy(np.array(item, np.float32)).requires_grad_()
            leaves.append(leaf)
            rows = leaf.to(rows.dtype)
        tensors.append(rows)
    if not sum(map(len, tensors)):
        raise ModelError(Reason.BAD_INPUT, "an empty sequence: no part has a token or a latent")
    return Fed(torch.cat(tensors), tuple(leaves), tuple(targets))


def batches(sequences: Sequence[Fed]) -> Iterator[list[int]]:
    """The indices of the sequences that go through the network together. Raises InputError(TOO_LARGE)."""
    if sum(map(len, sequences)) > MAX_TOTAL:
        raise InputError(Reason.TOO_LARGE, f"over {MAX_TOTAL} positions in one request; send fewer sequences at once")
    batch: list[int] = []
    for i in sorted(range(len(sequences)), key=lambda i: len(sequences[i])):
        if batch and (len(batch) + 1) * len(sequences[i]) > MAX_POSITIONS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def hidden_states(engine: TorchEngine, batch: Sequence[Fed], *, chat: bool) -> list[Tensor]:
    """The hidden states after the final norm, (n, n_embd) a sequence; with `chat` each follows the system prompt."""
    width = max(map(len, batch))
    rows = torch.stack([functional.pad(s.rows, (0, 0, 0, width - len(s))) for s in batch])
    # The padding is on the right and attention is causal, so it changes nothing.
    past: dict[str, Any] = {"past_key_values": engine.prefix(len(batch)), "use_cache": True} if chat else {}
    out = engine.model.model(inputs_embeds=rows, **past)[0]
    return [out[i, : len(s)] for i, s in enumerate(batch)]


def gradients_of(sequence: Fed) -> list[Float32Array]:
    """The gradients at the leaves, float32; zeros for a leaf that no loss depends on."""
    return [(leaf.grad if leaf.grad is not None else torch.zeros_like(leaf)).numpy() for leaf in sequence.leaves]


def logits_of(engine: TorchEngine, states: Tensor, added: Tensor) -> Tensor:
    """Logits float32 (n, n_vocab + k): the model's, then those of the added tokens."""
    own = engine.model.lm_head(states).float()
    return torch.cat([own, states.float() @ added.T], dim=1) if len(added) else own


def cross_entropy(engine: TorchEngine, batch: Sequence[Fed], added: Tensor, n_targets: int, *, chat: bool) -> Tensor:
    """The sum over the targets of this batch, divided by `n_targets`, the number in all batches."""
    picked, wanted = _at_targets(batch, hidden_states(engine, batch, chat=chat)), _targets(batch)
    return functional.cross_entropy(logits_of(engine, picked, added), wanted, reduction="sum") / n_targets


def kl_to_teacher(
    engine: TorchEngine,
    batch: Sequence[Fed],
    teacher: Sequence[Fed],
    added: Tensor,
    n_targets: int,
    *,
    chat: bool,
) -> Tensor:
    """KL(teacher || student) at every target, summed and divided by `n_targets`. Both are followed by the same
    targets.
    """
    with torch.no_grad():
        taught = _at_targets(teacher, hidden_states(engine, teacher, chat=chat))
        wanted = functional.log_softmax(logits_of(engine, taught, added), dim=1)
    picked = _at_targets(batch, hidden_states(engine, batch, chat=chat))
    got = functional.log_softmax(logits_of(engine, picked, added), dim=1)
    return functional.kl_div(got, wanted, reduction="sum", log_target=True) / n_targets


def mse_on_latents(
    engine: TorchEngine, batch: Sequence[Fed], wanted: Sequence[Float32Array], n_values: int, *, chat: bool
) -> Tensor:
    """The squared error of the last len(wanted[i]) hidden states, summed and divided by `n_values`."""
    total = torch.zeros(())
    for state, target in zip(hidden_states(engine, batch, chat=chat), wanted, strict=True):
        total = total + (state[-len(target) :].float() - torch.from_numpy(target.copy())).square().sum()
    return total / n_values


def _at_targets(batch: Sequence[Fed], states: list[Tensor]) -> Tensor:
    return torch.cat([state[-len(s.targets) :] for s, state in zip(batch, states, strict=True)])


def _targets(batch: Sequence[Fed]) -> Tensor:
    return torch.tensor([token for s in batch for token in s.targets])

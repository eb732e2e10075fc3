"""The Gradient API as a torch loss, so that a connector trains through a service as through a local network.

loss = RemoteLoss(GradientClient(client)).cross_entropy([[rows, " Repeat the words.", SUFFIX_IDS]], [reply_ids])
loss.backward()  # `rows`, and whatever made them, now have gradients
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glasses.service.client.gradient_client import GradientClient
from glasses.service.protocol.packing import Input
from glasses.types import Float32Array

InputTensor = Input | Tensor


class _Through(torch.autograd.Function):
    """Makes a remote loss part of the graph; its gradients came together with its value."""

    @staticmethod
    def forward(ctx: Any, call: Callable[[], tuple[float, list[Float32Array]]], *rows: Tensor) -> Tensor:
        loss, gradients = call()
        ctx.save_for_backward(*(torch.from_numpy(g.copy()) for g in gradients))
        ctx.dtypes = [r.dtype for r in rows]
        return torch.tensor(loss)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        scaled = (grad_outputs[0] * g for g in ctx.saved_tensors)
        return None, *(g.to(dtype) for g, dtype in zip(scaled, ctx.dtypes, strict=True))


@dataclass(frozen=True, slots=True)
class RemoteLoss:
    """The losses of `GradientClient` as scalar tensors; among the inputs may be tensors (n, n_embd)."""

    client: GradientClient

    def cross_entropy(self, sequences: Sequence[Sequence[InputTensor]], targets: Sequence[Sequence[int]]) -> Tensor:
        """See `GradientClient.cross_entropy`."""
        inputs, rows = _detached(sequences)
        return _apply(lambda: self.client.cross_entropy(inputs, targets), rows)

    def kl_to_teacher(
        self,
        sequences: Sequence[Sequence[InputTensor]],
        targets: Sequence[Sequence[int]],
        teacher: Sequence[Sequence[Input]],
    ) -> Tensor:
        """See `GradientClient.kl_to_teacher`."""
        inputs, rows = _detached(sequences)
        return _apply(lambda: self.client.kl_to_teacher(inputs, targets, teacher), rows)

    def mse_on_latents(self, sequences: Sequence[Sequence[InputTensor]], wanted: Sequence[Float32Array]) -> Tensor:
        """See `GradientClient.mse_on_latents`."""
        inputs, rows = _detached(sequences)
        return _apply(lambda: self.client.mse_on_latents(inputs, wanted), rows)


def _apply(call: Callable[[], tuple[float, list[Float32Array]]], rows: list[Tensor]) -> Tensor:
    loss: Any = _Through.apply(call, *rows)
    return loss


def _detached(sequences: Sequence[Sequence[InputTensor]]) -> tuple[list[list[Input]], list[Tensor]]:
    """The sequences as arrays, and the tensors that gradients come back for, in order."""
    inputs: list[list[Input]] = []
    rows: list[Tensor] = []
    for sequence in sequences:
        inputs.append([])
        for part in sequence:
            if isinstance(part, Tensor):
                inputs[-1].append(part.detach().float().numpy())
                rows.append(part)
            else:
                inputs[-1].append(part)
                if isinstance(part, np.ndarray) and part.ndim == 2:
                    rows.append(torch.from_numpy(part.copy()))
    return inputs, rows

"""The client of the Gradient API: losses and gradients through the frozen backbone of a service.

It needs numpy only; `engines.torch.autograd` makes a torch function of it. Steps are numbered, so that the service does
not compute a step again that is repeated after a lost connection.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from glasses.service.client.sync_client import SyncClient
from glasses.service.protocol import events, messages, wire
from glasses.service.protocol.packing import Input, pack
from glasses.types import Float32Array


@dataclass(slots=True)
class GradientClient:
    """Hidden states and gradients come back as `dtype`. With `chat` every sequence follows the system prompt."""

    client: SyncClient
    dtype: wire.Dtype = "f32"
    chat: bool = True
    run: str = field(default_factory=lambda: secrets.token_hex(8))
    step: int = 0

    def forward(self, sequences: Sequence[Sequence[Input]]) -> list[Float32Array]:
        """Hidden states after the final norm, (n, n_embd) a sequence. Raises RemoteError."""
        parts, arrays = _pack(sequences)
        request = messages.Forward(self._rid(), parts, self.chat, self.dtype)
        _, out = self._call(request, arrays)
        return out

    def backward(self, sequences: Sequence[Sequence[Input]], grads: Sequence[Float32Array]) -> list[Float32Array]:
        """Gradients at every array part, in order, given those at the hidden states. Raises RemoteError."""
        parts, arrays = _pack(sequences)
        indices = list(range(len(arrays), len(arrays) + len(grads)))
        request = messages.Backward(self._rid(), self._step(), parts, indices, self.chat, self.dtype)
        _, out = self._call(request, [*arrays, *grads])
        return out

    def cross_entropy(
        self, sequences: Sequence[Sequence[Input]], targets: Sequence[Sequence[int]]
    ) -> tuple[float, list[Float32Array]]:
        """Mean loss of the targets after each sequence, and its gradients at every array part."""
        parts, arrays = _pack(sequences)
        return self._fused(parts, arrays, messages.CrossEntropy([list(t) for t in targets]))

    def kl_to_teacher(
        self,
        sequences: Sequence[Sequence[Input]],
        targets: Sequence[Sequence[int]],
        teacher: Sequence[Sequence[Input]],
    ) -> tuple[float, list[Float32Array]]:
        """Mean KL(teacher || student) at the targets; the teacher is the same backbone after `teacher` instead."""
        parts, arrays = _pack(sequences)
        taught = [pack(inputs, arrays) for inputs in teacher]
        return self._fused(parts, arrays, messages.KLToTeacher([list(t) for t in targets], taught))

    def mse_on_latents(
        self, sequences: Sequence[Sequence[Input]], wanted: Sequence[Float32Array]
    ) -> tuple[float, list[Float32Array]]:
        """Mean squared error of each sequence's last hidden states against `wanted` (n, n_embd)."""
        parts, arrays = _pack(sequences)
        indices = list(range(len(arrays), len(arrays) + len(wanted)))
        return self._fused(parts, [*arrays, *wanted], messages.MSEOnLatents(indices))

    def _fused(
        self, parts: list[messages.Parts], arrays: list[Float32Array], loss: messages.Loss
    ) -> tuple[float, list[Float32Array]]:
        request = messages.ForwardBackward(self._rid(), self._step(), parts, loss, self.chat, self.dtype)
        event, out = self._call(request, arrays)
        assert isinstance(event, events.Gradients)
        assert event.loss is not None
        return event.loss, out

    def _call(
        self, request: messages.GradientRequest, arrays: Sequence[Float32Array]
    ) -> tuple[events.Event, list[Float32Array]]:
        return self.client.wait(self.client.asynchronous.call(request, arrays))

    def _rid(self) -> int:
        return self.client.asynchronous.next_rid()

    def _step(self) -> str:
        self.step += 1
        return f"{self.run}:{self.step}"


def _pack(sequences: Sequence[Sequence[Input]]) -> tuple[list[messages.Parts], list[Float32Array]]:
    arrays: list[Float32Array] = []
    return [pack(inputs, arrays) for inputs in sequences], arrays

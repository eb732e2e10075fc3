"""The Gradient API: messages to tensors and back, each step done once. Knows no network.

Every batch is one call on the worker, so that several trainers take turns and sessions go on between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from glasses.errors import InputError, Reason
from glasses.model_store import store
from glasses.runtime.bundle import SPARE_ONE, open_bundle
from glasses.service.engines.torch import gradients as grad
from glasses.service.engines.torch import token_rows
from glasses.service.engines.torch.engine import TorchEngine, load_model
from glasses.service.engines.torch.gradients import Fed
from glasses.service.protocol import messages
from glasses.service.protocol.events import Gradients
from glasses.service.protocol.messages import Backward, CrossEntropy, Forward, ForwardBackward, KLToTeacher
from glasses.service.server import prompting
from glasses.service.server.step_cache import Steps
from glasses.types import Float32Array

if TYPE_CHECKING:
    from glasses.service.server.service import Service

Answer = tuple[Gradients, list[Float32Array]]
_encoder = msgspec.json.Encoder()


def open_engine(bundle: str = store.DEFAULT_BUNDLE, *, dtype: torch.dtype = torch.bfloat16) -> TorchEngine:
    """Opens a bundle's backbone with its Gradient API. Raises ModelError: NOT_FOUND, CORRUPT."""
    torch.set_num_threads(SPARE_ONE)
    parts = open_bundle(bundle, n_threads=1)
    model = load_model(store.path_of(parts.bundle.backbone), dtype=dtype)
    return with_gradients(TorchEngine(parts, model))


def with_gradients(engine: TorchEngine) -> TorchEngine:
    """Gives an engine the two APIs that need gradients."""
    engine.gradient = GradientAPI(engine).answer
    engine.train_rows = lambda added, examples: token_rows.train(engine, added, examples)
    return engine


class GradientAPI:
    """`answer` takes every request of the Gradient API."""

    def __init__(self, engine: TorchEngine) -> None:
        self._engine, self._steps = engine, Steps()

    async def answer(
        self, service: Service, key: str, request: messages.GradientRequest, arrays: list[Float32Array]
    ) -> Answer:
        """Hidden states or gradients. Raises InputError (also REPLAYED, TOO_LARGE), ModelError, RemoteError(BUSY)."""
        if isinstance(request, Forward):
            return await self._forward(service, key, request, arrays)

        async def compute() -> Answer:
            if isinstance(request, Backward):
                return await self._backward(service, key, request, arrays)
            return await self._fused(service, key, request, arrays)

        event, out = await self._steps.once(request.step, _digest(request, arrays), compute)
        return msgspec.structs.replace(event, rid=request.rid), out

    async def _forward(self, service: Service, key: str, request: Forward, arrays: list[Float32Array]) -> Answer:
        made = await service.run(key, lambda: self._sequences(service, request.sequences, arrays))
        out: dict[int, Float32Array] = {}

        def run(batch: list[int]) -> None:
            with torch.no_grad():
                states = grad.hidden_states(self._engine, [made[i] for i in batch], chat=request.chat)
            out.update((i, state.float().numpy()) for i, state in zip(batch, states, strict=True))

        await _each(service, key, made, run)
        return Gradients(request.rid), [out[i] for i in range(len(made))]

    async def _backward(self, service: Service, key: str, request: Backward, arrays: list[Float32Array]) -> Answer:
        made = await service.run(key, lambda: self._sequences(service, request.sequences, arrays))
        given = _pick(arrays, request.grads)
        if [g.shape for g in given] != [(len(s), self._engine.parts.backbone.n_embd) for s in made]:
            raise InputError(Reason.BAD_INPUT, "the gradients given are not of the shape of the hidden states")

        def run(batch: list[int]) -> None:
            states = grad.hidden_states(self._engine, [made[i] for i in batch], chat=request.chat)
            torch.autograd.backward(states, [torch.from_numpy(given[i].copy()).to(states[0].dtype) for i in batch])

        await _each(service, key, made, run)
        return Gradients(request.rid), [g for s in made for g in grad.gradients_of(s)]

    async def _fused(self, service: Service, key: str, request: ForwardBackward, arrays: list[Float32Array]) -> Answer:
        loss_of, made, n_targets = await service.run(key, lambda: self._loss(service, request, arrays))
        total = 0.0

        def run(batch: list[int]) -> None:
            nonlocal total
            loss = loss_of(batch)
            loss.backward()
            total += loss.item()

        await _each(service, key, made, run)
        gradients = [g for s in made for g in grad.gradients_of(s)]
        if not all(np.isfinite(g).all() for g in gradients):
            raise InputError(Reason.BAD_INPUT, "the gradients are not finite: the latents make the backbone overflow")
        return Gradients(request.rid, total, n_targets), gradients

    def _loss(
        self, service: Service, request: ForwardBackward, arrays: list[Float32Array]
    ) -> tuple[Callable[[list[int]], Tensor], list[Fed], int]:
        """What gives the loss of a batch, the sequences, and over how many targets the mean goes."""
        engine, loss, chat = self._engine, request.loss, request.chat
        added = torch.from_numpy(service.added.classifier.copy())
        if isinstance(loss, CrossEntropy | KLToTeacher):
            n_targets = sum(map(len, loss.targets))
            made = self._sequences(service, request.sequences, arrays, loss.targets)
            if isinstance(loss, CrossEntropy):
                return (
                    lambda batch: grad.cross_entropy(engine, [made[i] for i in batch], added, n_targets, chat=chat),
                    made,
                    n_targets,
                )
            taught = self._sequences(service, loss.teacher, arrays, loss.targets)

            def kl(batch: list[int]) -> Tensor:
                both = [made[i] for i in batch], [taught[i] for i in batch]
                return grad.kl_to_teacher(engine, *both, added, n_targets, chat=chat)

            return kl, made, n_targets
        made = self._sequences(service, request.sequences, arrays)
        wanted = _pick(arrays, loss.arrays)
        n_embd = engine.parts.backbone.n_embd
        if len(wanted) != len(made) or any(
            w.shape[1] != n_embd or len(w) > len(s) for w, s in zip(wanted, made, strict=True)
        ):
            raise InputError(Reason.BAD_INPUT, f"mse-on-latents wants one (n, {n_embd}) a sequence, no longer than it")
        n_values = sum(w.size for w in wanted)

        def mse(batch: list[int]) -> Tensor:
            return grad.mse_on_latents(
                engine, [made[i] for i in batch], [wanted[i] for i in batch], n_values, chat=chat
            )

        return mse, made, sum(map(len, wanted))

    def _sequences(
        self,
        service: Service,
        sequences: Sequence[Sequence[messages.Part]],
        arrays: list[Float32Array],
        targets: Sequence[list[int]] | None = None,
    ) -> list[Fed]:
        if targets is not None and len(targets) != len(sequences):
            raise InputError(Reason.BAD_INPUT, f"{len(targets)} targets for {len(sequences)} sequences")
        made = []
        for i, parts in enumerate(sequences):
            connected, wanted = [], []
            for part in parts:
                fed = prompting.connect(service.models, service.added, part, arrays, prompting.Turn())
                connected += fed
                wanted += [isinstance(part, messages.Rows)] * len(fed)
            follow = prompting.split(service.models, service.added, targets[i][:-1]) if targets else []
            columns = self._targets(service, targets[i]) if targets else ()
            every = [*wanted, *[False] * len(follow)]
            made.append(grad.sequence(self._engine, [*connected, *follow], every, columns))
        return made

    def _targets(self, service: Service, ids: Sequence[int]) -> list[int]:
        """Columns of the extended logits."""
        n_vocab = service.models.backbone.n_vocab
        if not ids:
            raise InputError(Reason.BAD_INPUT, "a sequence without targets")
        return [i if i < n_vocab else n_vocab + service.added.index_of_id(i) for i in ids]


async def _each(service: Service, key: str, made: list[Fed], run: Callable[[list[int]], None]) -> None:
    for batch in grad.batches(made):
        await service.run(key, lambda batch=batch: run(batch))


def _pick(arrays: list[Float32Array], indices: Sequence[int]) -> list[Float32Array]:
    if any(i >= len(arrays) for i in indices):
        raise InputError(Reason.BAD_INPUT, f"an array is named that was not sent: {max(indices)} of {len(arrays)}")
    return [arrays[i] for i in indices]


def _digest(request: Any, arrays: Sequence[Float32Array]) -> bytes:
    digest = hashlib.sha256(_encoder.encode(msgspec.structs.replace(request, rid=0)))
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()

"""The Gradient API: converts messages to tensors and back, and does each step once.

Every batch is one call on the engine's thread, so several trainers take turns, and sessions are served between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from glasses.errors import InputError, Reason
from glasses.model_store import store
from glasses.runtime.bundle import SPARE_ONE, LoadedBundle, open_bundle
from glasses.runtime.prompt import PromptState
from glasses.service.engines.engine import Ability, Run
from glasses.service.engines.torch import gradients as grad
from glasses.service.engines.torch import token_rows
from glasses.service.engines.torch.engine import TorchEngine, load_model
from glasses.service.engines.torch.gradients import Fed
from glasses.service.protocol import messages
from glasses.service.protocol.events import Gradients
from glasses.service.protocol.messages import (
    Backward,
    CrossEntropy,
    Example,
    Forward,
    ForwardBackward,
    KLToTeacher,
    MSEOnLatents,
)
from glasses.service.server import prompting
from glasses.service.server.step_cache import Steps
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import Float32Array

Answer = tuple[Gradients, list[Float32Array]]
_encoder = msgspec.json.Encoder()


class TorchGradientEngine(TorchEngine):
    """The torch engine with the abilities that need gradients."""

    can: tuple[Ability, ...] = (*TorchEngine.can, "token rows", "gradient")

    def __init__(self, loaded: LoadedBundle, model: Any) -> None:
        super().__init__(loaded, model)
        self._gradients = GradientAPI(self)

    async def gradient(
        self, run: Run, added: AddedTokens, request: messages.GradientRequest, arrays: list[Float32Array]
    ) -> Answer:
        """See `GivesGradients.gradient`."""
        return await self._gradients.answer(run, added, request, arrays)

    def train_rows(self, added: AddedTokens, examples: Sequence[Example]) -> AddedTokens:
        """See `TrainsTokenRows.train_rows`."""
        return token_rows.train(self, added, examples)


def open_engine(bundle: str = store.DEFAULT_BUNDLE, *, dtype: torch.dtype = torch.bfloat16) -> TorchGradientEngine:
    """Opens a bundle's backbone in torch. Raises ModelError: NOT_FOUND, CORRUPT."""
    torch.set_num_threads(SPARE_ONE)
    loaded = open_bundle(bundle, n_threads=1)
    return TorchGradientEngine(loaded, load_model(store.path_of(loaded.bundle.backbone), dtype=dtype))


class GradientAPI:
    """`answer` takes every request of the Gradient API."""

    def __init__(self, engine: TorchEngine) -> None:
        self._engine, self._steps = engine, Steps()

    async def answer(
        self, run: Run, added: AddedTokens, request: messages.GradientRequest, arrays: list[Float32Array]
    ) -> Answer:
        """Hidden states or gradients. Raises InputError (also REPLAYED, TOO_LARGE), ModelError, RemoteError(BUSY)."""
        if isinstance(request, Forward):
            return await self._forward(run, added, request, arrays)

        async def compute() -> Answer:
            if isinstance(request, Backward):
                return await self._backward(run, added, request, arrays)
            return await self._fused(run, added, request, arrays)

        event, out = await self._steps.once(request.step, _digest(request, arrays), compute)
        return msgspec.structs.replace(event, rid=request.rid), out

    async def _forward(self, run: Run, added: AddedTokens, request: Forward, arrays: list[Float32Array]) -> Answer:
        sequences = await run(lambda: self._sequences(added, request.sequences, arrays))
        out: dict[int, Float32Array] = {}

        def compute(batch: list[int]) -> None:
            with torch.no_grad():
                states = grad.hidden_states(self._engine, [sequences[i] for i in batch], chat=request.chat)
            out.update((i, state.float().numpy()) for i, state in zip(batch, states, strict=True))

        await _each(run, sequences, compute)
        return Gradients(request.rid), [out[i] for i in range(len(sequences))]

    async def _backward(self, run: Run, added: AddedTokens, request: Backward, arrays: list[Float32Array]) -> Answer:
        sequences = await run(lambda: self._sequences(added, request.sequences, arrays))
        grads = _pick(arrays, request.grads)
        n_embd = self._engine.loaded.backbone.n_embd
        if [g.shape for g in grads] != [(len(s), n_embd) for s in sequences]:
            raise InputError(Reason.BAD_INPUT, "the gradients given are not of the shape of the hidden states")

        def compute(batch: list[int]) -> None:
            states = grad.hidden_states(self._engine, [sequences[i] for i in batch], chat=request.chat)
            torch.autograd.backward(states, [torch.from_numpy(grads[i].copy()).to(states[0].dtype) for i in batch])

        await _each(run, sequences, compute)
        return Gradients(request.rid), [g for s in sequences for g in grad.gradients_of(s)]

    async def _fused(
        self, run: Run, added: AddedTokens, request: ForwardBackward, arrays: list[Float32Array]
    ) -> Answer:
        loss_of, sequences, n_targets = await run(lambda: self._loss(added, request, arrays))
        total = 0.0

        def compute(batch: list[int]) -> None:
            nonlocal total
            loss = loss_of(batch)
            loss.backward()
            total += loss.item()

        await _each(run, sequences, compute)
        gradients = [g for s in sequences for g in grad.gradients_of(s)]
        if not all(np.isfinite(g).all() for g in gradients):
            raise InputError(Reason.BAD_INPUT, "the gradients are not finite: the latents make the backbone overflow")
        return Gradients(request.rid, total, n_targets), gradients

    def _loss(
        self, added: AddedTokens, request: ForwardBackward, arrays: list[Float32Array]
    ) -> tuple[Callable[[list[int]], Tensor], list[Fed], int]:
        """A function that gives the loss of a batch, the sequences, and how many targets the mean is over."""
        engine, loss, chat = self._engine, request.loss, request.chat
        if not isinstance(loss, CrossEntropy | KLToTeacher):
            return self._mse(added, request, loss, arrays)
        classifier = torch.from_numpy(added.classifier.copy())
        n_targets = sum(map(len, loss.targets))
        sequences = self._sequences(added, request.sequences, arrays, loss.targets)
        if isinstance(loss, CrossEntropy):

            def cross_entropy(batch: list[int]) -> Tensor:
                return grad.cross_entropy(engine, [sequences[i] for i in batch], classifier, n_targets, chat=chat)

            return cross_entropy, sequences, n_targets
        taught = self._sequences(added, loss.teacher, arrays, loss.targets)

        def kl(batch: list[int]) -> Tensor:
            both = [sequences[i] for i in batch], [taught[i] for i in batch]
            return grad.kl_to_teacher(engine, *both, classifier, n_targets, chat=chat)

        return kl, sequences, n_targets

    def _mse(
        self, added: AddedTokens, request: ForwardBackward, loss: MSEOnLatents, arrays: list[Float32Array]
    ) -> tuple[Callable[[list[int]], Tensor], list[Fed], int]:
        engine, chat = self._engine, request.chat
        sequences = self._sequences(added, request.sequences, arrays)
        wanted = _pick(arrays, loss.arrays)
        n_embd = engine.loaded.backbone.n_embd
        if len(wanted) != len(sequences) or any(
            w.shape[1] != n_embd or len(w) > len(s) for w, s in zip(wanted, sequences, strict=True)
        ):
            raise InputError(Reason.BAD_INPUT, f"mse-on-latents wants one (n, {n_embd}) a sequence, no longer than it")
        n_values = sum(w.size for w in wanted)

        def mse(batch: list[int]) -> Tensor:
            both = [sequences[i] for i in batch], [wanted[i] for i in batch]
            return grad.mse_on_latents(engine, *both, n_values, chat=chat)

        return mse, sequences, sum(map(len, wanted))

    def _sequences(
        self,
        added: AddedTokens,
        sequences: Sequence[Sequence[messages.Part]],
        arrays: list[Float32Array],
        targets: Sequence[list[int]] | None = None,
    ) -> list[Fed]:
        if targets is not None and len(targets) != len(sequences):
            raise InputError(Reason.BAD_INPUT, f"{len(targets)} targets for {len(sequences)} sequences")
        loaded, out = self._engine.loaded, []
        for i, parts in enumerate(sequences):
            inputs, wanted = [], []
            for part in parts:
                connected = prompting.connect(loaded, added, part, arrays, PromptState())
                inputs += connected
                wanted += [isinstance(part, messages.Rows)] * len(connected)
            follow = prompting.split(loaded, added, targets[i][:-1]) if targets else []
            columns = self._columns(added, targets[i]) if targets else ()
            has_gradient = [*wanted, *[False] * len(follow)]
            out.append(grad.sequence(self._engine, [*inputs, *follow], has_gradient, columns))
        return out

    def _columns(self, added: AddedTokens, ids: Sequence[int]) -> list[int]:
        """The columns of target tokens in the logits with the added tokens behind."""
        n_vocab = self._engine.loaded.backbone.n_vocab
        if not ids:
            raise InputError(Reason.BAD_INPUT, "a sequence without targets")
        return [i if i < n_vocab else n_vocab + added.index_of_id(i) for i in ids]


async def _each(run: Run, sequences: list[Fed], compute: Callable[[list[int]], None]) -> None:
    for batch in grad.batches(sequences):
        await run(lambda batch=batch: compute(batch))


def _pick(arrays: list[Float32Array], indices: Sequence[int]) -> list[Float32Array]:
    if any(i >= len(arrays) for i in indices):
        raise InputError(Reason.BAD_INPUT, f"an array is named that was not sent: {max(indices)} of {len(arrays)}")
    return [arrays[i] for i in indices]


def _digest(request: Any, arrays: Sequence[Float32Array]) -> bytes:
    digest = hashlib.sha256(_encoder.encode(msgspec.structs.replace(request, rid=0)))
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()

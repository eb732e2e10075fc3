"""Trains the input rows of begin tokens through the frozen backbone, so that the payload follows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glasses.runtime import prompt
from glasses.service.engines.torch import gradients as grad
from glasses.service.engines.torch.engine import TorchEngine
from glasses.service.engines.torch.gradients import Fed
from glasses.service.protocol.messages import Example
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import frozen

STEPS, BATCH, RATE = 60, 6, 5e-3  # SmolLM2's token rows have an RMS of 0.136


def train(engine: TorchEngine, added: AddedTokens, examples: Sequence[Example]) -> AddedTokens:
    """The table with new input rows for the begin tokens whose examples have payloads. The same examples always give
    the same rows.

    The loss is the cross-entropy of the payload and the end token after the begin row.
    """
    pairs = [e for e in examples if e.call and e.payload and added.tokens[added.index(e.call)].end]
    rows = torch.from_numpy(added.rows.copy()).requires_grad_()
    classifier = torch.from_numpy(added.classifier.copy())
    optimizer, rng = torch.optim.Adam([rows], lr=RATE), np.random.default_rng(0)
    for _ in range(STEPS if pairs else 0):
        batch = [_sequence(engine, added, rows, pairs[i]) for i in rng.integers(0, len(pairs), BATCH)]
        states = grad.hidden_states(engine, batch, chat=True)
        picked = torch.cat([state[-len(s.targets) :] for s, state in zip(batch, states, strict=True)])
        wanted = torch.tensor([token for s in batch for token in s.targets])
        loss = functional.cross_entropy(grad.logits_of(engine, picked, classifier), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return added.trained(frozen(rows.detach().numpy().copy()), added.classifier, added.deep)


def _sequence(engine: TorchEngine, added: AddedTokens, rows: Tensor, example: Example) -> Fed:
    loaded = engine.loaded
    begin = added.index(example.call or "")
    end = added.index(added.tokens[begin].end or "")
    payload = loaded.backbone.tokenize(example.payload, special=False)
    inputs = [loaded.backbone.tokenize(example.text, special=False)]
    inputs += prompt.ending(loaded, prompt.PromptState(has_question=True))
    fed = [engine.embed(item, "example") for item in inputs]
    fed += [rows[begin : begin + 1].to(fed[0].dtype), engine.embed(payload, "payload")]
    return Fed(torch.cat(fed), (), (*payload, loaded.backbone.n_vocab + end))

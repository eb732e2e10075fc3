"""Trains the classifier rows of added tokens, and makes what all their rows are trained on. Numpy, no gradients.

The backbone is frozen, so the hidden states do not depend on the classifier rows: the states of all examples are
computed once, and the rows are a logistic regression on them. The class "none of them" is the backbone's own
vocabulary; its logit at a state is the log-sum-exp of the backbone's logits there.

Deep rows are trained by `glasses.backbone.deep_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glasses.backbone.inputs import ModelInput
from glasses.runtime import prompt
from glasses.service.engines.engine import Context, Engine, Output, ReadsValues
from glasses.service.protocol.messages import Example
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import Float32Array

# An example that calls nothing is trained along this many states of the backbone's own answer. A begin token may come
# anywhere in an answer, other tokens only first, so a pair takes more states.
OWN_STATES, OWN_STATES_PAIR = 4, 24
MAX_OWN_STATES = 2000  # of all examples together: each costs decoding a token
STEPS, RATE, DECAY = 800, 0.5, 1e-6
# The margins in logits by which an added token has to win against the backbone's own vocabulary, or lose to it, in
# training. Chosen with examples/sound_out.py, where new wordings are some four logits nearer to a call than trained
# ones; its own figures are a little too good for that.
CALL_MARGIN, SILENT_MARGIN = 2.0, 12.0


@dataclass(frozen=True, slots=True)
class State:
    """A hidden state (n_embd,), and which token should come after it.

    `mass` is the log-sum-exp of the backbone's logits, `largest` the largest of them. `wanted` is an index into the
    added tokens, -1 for none. `first` marks the first state of an answer; only such a state has `values` (n_values,),
    and only from an engine that reads them.
    """

    hidden: Float32Array
    mass: float
    largest: float
    wanted: int
    first: bool
    values: Float32Array | None = None


def own_states(added: AddedTokens, examples: Sequence[Example]) -> int:
    """How many states an example that calls nothing gives."""
    wanted = OWN_STATES_PAIR if any(token.end for token in added.tokens) else OWN_STATES
    return min(wanted, max(1, MAX_OWN_STATES // max(1, sum(example.call is None for example in examples))))


def states_of(engine: Engine, added: AddedTokens, example: Example, n_own: int) -> list[State]:
    """The states of one example, `n_own` where it calls nothing. Runs on the engine's thread.

    Raises InputError(NOT_FOUND), ModelError.
    """
    loaded, context = engine.loaded, engine.copy(engine.chat)
    text: ModelInput = loaded.backbone.tokenize(example.text, special=False)
    out = engine.feed(context, [text, *prompt.ending(loaded, prompt.PromptState(has_question=True))], hidden=True)
    values = engine.values(context) if isinstance(engine, ReadsValues) else None
    if example.call is None:
        first, *more = _own(engine, context, out, n_own)
        return [replace(first, values=values), *more]
    begin = added.index(example.call)
    states = [replace(_state(out, begin, first=True), values=values)]
    end = added.tokens[begin].end
    if end is None:
        return states
    out = engine.feed(context, [added.rows[begin : begin + 1]], hidden=True)
    for token in loaded.backbone.tokenize(example.payload, special=False):
        states.append(_state(out, -1, first=False))
        out = engine.feed(context, [[token]], hidden=True)
    return [*states, _state(out, added.index(end), first=False)]


def fit(states: Sequence[State], n_tokens: int) -> tuple[Float32Array, float]:
    """Classifier rows float32 (n_tokens, n_embd), and the share of first states where they choose rightly."""
    hidden = np.stack([s.hidden for s in states]).astype(np.float64)
    mass, largest = np.array([s.mass for s in states]), np.array([s.largest for s in states])
    wanted, first = np.array([s.wanted for s in states]), np.array([s.first for s in states])
    # Calls and silence weigh the same. Of the silent states the first one weighs most: false calls happen there.
    silent = wanted < 0
    groups = ((~silent, 0.5, CALL_MARGIN), (silent & first, 0.4, -SILENT_MARGIN), (silent & ~first, 0.1, -CALL_MARGIN))
    weight, shift = np.zeros(len(states)), np.zeros(len(states))
    for group, share, margin in groups:
        weight[group], shift[group] = share / max(1, group.sum()), margin
    scale = (hidden.std(axis=0) + 1e-3) * np.sqrt(hidden.shape[1])
    rows = _descend(hidden / scale, mass + shift, wanted, weight, n_tokens) / scale
    scores = hidden @ rows.T
    chosen = np.where(scores.max(axis=1) > largest, scores.argmax(axis=1), -1)
    return rows.astype(np.float32), float((chosen == wanted)[first].mean())


def _descend(hidden: Any, mass: Any, wanted: Any, weight: Any, n_tokens: int) -> Any:
    """Minimises the weighted cross-entropy of [mass, scores] by Adam (Kingma and Ba 2015), all states in every step."""
    called = wanted >= 0
    target = np.zeros((len(hidden), n_tokens))
    target[np.flatnonzero(called), wanted[called]] = 1
    rows, mean, square = (np.zeros((n_tokens, hidden.shape[1])) for _ in range(3))
    for step in range(1, STEPS + 1):
        scores = hidden @ rows.T
        top = np.maximum(mass, scores.max(axis=1))
        exps = np.exp(scores - top[:, None])
        probability = exps / (exps.sum(axis=1) + np.exp(mass - top))[:, None]
        slope = ((probability - target) * weight[:, None]).T @ hidden + DECAY * rows / n_tokens
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        rate = RATE * min(1.0, 4 * (1 - step / STEPS))
        rows -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-9)
    return rows


def _own(engine: Engine, context: Context, out: Output, n_states: int) -> list[State]:
    """The states along the backbone's own greedy answer, at none of which an added token should come."""
    states = [_state(out, -1, first=True)]
    while len(states) < n_states:
        token = int(out.logits.argmax())
        if token in engine.loaded.backbone.eos:
            break
        out = engine.feed(context, [[token]], hidden=True)
        states.append(_state(out, -1, first=False))
    return states


def _state(out: Output, wanted: int, *, first: bool) -> State:
    assert out.hidden is not None
    top = float(out.logits.max())
    mass = top + float(np.log(np.exp(out.logits - np.float32(top)).sum(dtype=np.float64)))
    return State(out.hidden.copy(), mass, top, wanted, first)

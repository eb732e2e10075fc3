"""One running generation: from the logits of the last row to the next token."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from glasses.backbone import sampling
from glasses.backbone.grammar import Grammar
from glasses.backbone.inputs import ModelInput
from glasses.backbone.vocabulary import TextPieces, Vocabulary
from glasses.errors import InputError, ModelError, Reason
from glasses.service.engines.engine import Output, StreamedToken
from glasses.service.protocol.events import TokenEvent, TokenInfo
from glasses.service.protocol.messages import GenerationParams
from glasses.service.server.answer_form import gbnf_of
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import Float32Array

End = Literal["eos", "call", "length", "context_full", "cancelled", "deadline", "failed"]


class Generated(NamedTuple):
    """A token, and the hidden state (1, n_embd) that predicted it if that was asked for."""

    event: TokenEvent
    latent: Float32Array | None


@dataclass(slots=True)
class Generation:
    """`next` is called after every fed row. `tokens` keeps all tokens, for a client that missed some.

    The added tokens are scored behind the vocabulary: index n_vocab + i is the i-th of them.
    """

    session: str
    params: GenerationParams
    vocabulary: Vocabulary
    added: AddedTokens
    tokens: list[Generated] = field(default_factory=list)
    deadline_ns: int | None = None
    cancelled: bool = False
    _chosen: list[int] = field(default_factory=list)  # indices
    _opened: str | None = None  # the begin token whose end token has not come
    _text: TextPieces = field(default_factory=TextPieces)
    _rng: np.random.Generator = field(init=False)
    _sampling: sampling.Sampling = field(init=False)
    _grammar: Grammar | None = field(init=False)

    def __post_init__(self) -> None:
        """Raises InputError for a form that cannot be made into a grammar, and a bias of a token that there is not."""
        params = self.params
        self._rng = np.random.default_rng(params.seed)
        self._sampling = sampling.Sampling(
            params.temperature,
            params.top_p,
            params.repetition_penalty,
            params.presence_penalty,
            params.frequency_penalty,
            params.logit_bias,
        )
        unknown = [token for token in params.logit_bias if not 0 <= token < self.vocabulary.n_vocab]
        if unknown:
            raise InputError(Reason.BAD_INPUT, f"logit_bias: there is no token {unknown[0]}")
        self._grammar = Grammar(self.vocabulary, gbnf_of(params.form)) if params.form else None

    @property
    def needs_hidden(self) -> bool:
        """Whether `next` reads the hidden state."""
        return self.params.latents or bool(self.added.tokens)

    @property
    def needs_values(self) -> bool:
        """Whether `next` reads the value vectors (`ReadsValues`)."""
        return self._first and self.added.deep.shape[1] > 0

    @property
    def ended(self) -> bool:
        """Whether the last token came."""
        return bool(self.tokens) and self.tokens[-1].event.end is not None

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_ns is not None and time.monotonic_ns() > self.deadline_ns

    @property
    def _first(self) -> bool:
        return not self._chosen and not self.params.said

    def next(self, output: Output, *, room: bool, values: Float32Array | None = None) -> ModelInput:
        """Chooses a token and returns the input to feed for the one after it. `room` says whether that would fit into
        the context; `values` is given where needed and readable.

        Raises InputError(BAD_INPUT) where hidden states are needed and `output` has none.
        """
        logits = self._with_added(output, values)
        index = self._choose(logits)
        self._chosen.append(index)
        token = self._added_at(index)
        if token is not None:
            self._opened = token.name if token.end else None
        self._append(index, output, logits, self._end_after(index, room))
        return [index] if token is None else self.added.rows[index - self.vocabulary.n_vocab :][:1]

    def _choose(self, logits: Float32Array) -> int:
        """The index of the next token. Under a grammar what is chosen freely is kept where it is allowed, so that only
        other tokens cost the time to look at all of them.
        """
        index = sampling.choose(logits, self._sampling, self._chosen, self._rng)
        if self._grammar is None:
            return index
        if index >= self.vocabulary.n_vocab or not self._grammar.allows(index):
            allowed = self._grammar.restrict(logits)
            if not np.isfinite(allowed).any():
                raise ModelError(Reason.INTERNAL, "no token of this backbone fits the grammar")
            index = sampling.choose(allowed, self._sampling, self._chosen, self._rng)
        self._grammar.accept(index)
        return index

    def append(self, token: StreamedToken) -> None:
        """Takes a token that the engine chose itself."""
        place = (self.session, self.params.generation, len(self.tokens))
        text = token.text if token.end is None else token.text.rstrip("\ufffd")  # a character that was cut off
        event = TokenEvent(*place, token.token, text, token.logprob, token.top, end=token.end)
        self.tokens.append(Generated(event, None))

    def stop(self, end: End) -> None:
        """Ends the generation with an empty token that says why, unless it has ended."""
        if not self.ended:
            event = TokenEvent(self.session, self.params.generation, len(self.tokens), 0, "", 0.0, end=end)
            self.tokens.append(Generated(event, None))

    def _with_added(self, output: Output, values: Float32Array | None) -> Float32Array:
        """The logits with those of the added tokens behind."""
        if self.needs_hidden and output.hidden is None:
            raise InputError(Reason.BAD_INPUT, "latents of a raw session: open it with latents=true")
        if not self.added.tokens or output.hidden is None:
            return output.logits
        if self._first and values is not None and len(values) + 1 == self.added.deep.shape[1]:
            scores = self.added.first_scores(values, float(output.logits.max()))
        else:
            scores = self.added.scores(output.hidden, first=self._first, opened=self._opened)
        return np.concatenate([output.logits, scores])

    def _end_after(self, index: int, room: bool) -> End | None:
        """Why the generation ends with the token at `index`, which is the newest of `_chosen`."""
        token = self._added_at(index)
        if index in self.vocabulary.eos:
            return "eos"
        if token is not None and token.end is None and token.begin is None:
            return "call"
        if len(self._chosen) == self.params.max_tokens:
            return "length"
        return None if room else "context_full"

    def _append(self, index: int, output: Output, logits: Float32Array, end: End | None) -> None:
        logprobs = sampling.log_softmax(logits)
        token = self._added_at(index)
        data = self.vocabulary.token_bytes(index) if token is None else token.name.encode()
        latent = output.hidden[None] if self.params.latents and output.hidden is not None else None
        event = TokenEvent(
            session=self.session,
            generation=self.params.generation,
            index=len(self.tokens),
            token=self._id(index),
            text=self._text.add(data),
            logprob=float(logprobs[index]),
            top=[(self._id(i), logprob) for i, logprob in sampling.most_likely(logprobs, self.params.top_k)],
            array=None if latent is None else 0,
            end=end,
        )
        self.tokens.append(Generated(event, latent))

    def _added_at(self, index: int) -> TokenInfo | None:
        n_vocab = self.vocabulary.n_vocab
        return self.added.tokens[index - n_vocab] if index >= n_vocab else None

    def _id(self, index: int) -> int:
        token = self._added_at(index)
        return index if token is None else token.id

"""One running generation: from the logits of the last row to the next piece. Knows no backend, session or network."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glasses.backbone import sampling
from glasses.backbone.inputs import ModelInput
from glasses.backbone.vocabulary import Vocabulary
from glasses.errors import InputError, Reason
from glasses.service.engines.llama import Output
from glasses.service.protocol.events import TokenEvent
from glasses.service.protocol.messages import GenerationParams
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.types import Float32Array

Made = tuple[TokenEvent, Float32Array | None]  # a piece and its latent (1, n_embd)


@dataclass(slots=True)
class Generation:
    """`next` after every fed row. `pieces` keeps all that were made, for whoever missed some."""

    session: str
    how: GenerationParams
    vocabulary: Vocabulary
    added: AddedTokens
    pieces: list[Made] = field(default_factory=list)
    deadline_ns: int | None = None
    cancelled: bool = False
    _chosen: list[int] = field(default_factory=list)  # as indices into the logits with the added ones behind
    _opened: str | None = None  # the begin token whose end has not come
    _text: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))
    _rng: np.random.Generator = field(init=False)
    _sampling: sampling.Sampling = field(init=False)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.how.seed)
        self._sampling = sampling.Sampling(self.how.temperature, self.how.top_p, self.how.repetition_penalty)

    @property
    def needs_hidden(self) -> bool:
        """Whether `next` reads hidden states."""
        return self.how.latents or bool(self.added.tokens)

    @property
    def ended(self) -> bool:
        return bool(self.pieces) and self.pieces[-1][0].end is not None

    @property
    def needs_values(self) -> bool:
        """Whether `next` reads the last row's value vectors."""
        return self._first and self.added.deep.shape[1] > 0

    @property
    def _first(self) -> bool:
        return not self._chosen and not self.how.said

    def next(self, output: Output, *, room: bool, values: Float32Array | None = None) -> ModelInput:
        """Makes one piece and returns what has to be fed for the one after it; `room` is whether that would fit,
        `values` (n_values,) what `Engine.values` has, where needed.
        """
        if self.needs_hidden and output.hidden is None:
            raise InputError(Reason.BAD_INPUT, "latents of a raw session: open it with latents=true")
        logits, n_vocab = output.logits, self.vocabulary.n_vocab
        if self.added.tokens and output.hidden is not None:
            if self._first and values is not None and len(values) + 1 == self.added.deep.shape[1]:
                scores = self.added.first_scores(values, float(logits.max()))
            else:
                scores = self.added.scores(output.hidden, first=self._first, opened=self._opened)
            logits = np.concatenate([logits, scores])
        index = sampling.choose(logits, self._sampling, self._chosen, self._rng)
        self._chosen.append(index)
        logprobs = sampling.log_softmax(logits)
        eos = index in self.vocabulary.eos
        full = len(self._chosen) == self.how.max_tokens
        added = self.added.tokens[index - n_vocab] if index >= n_vocab else None
        called = added is not None and added.end is None and added.begin is None
        end = "eos" if eos else "call" if called else "length" if full else None if room else "context_full"
        if added is not None:
            self._opened = added.name if added.end else None
        data = added.name.encode() if added else self.vocabulary.token_bytes(index)
        latent = output.hidden[None] if self.how.latents and output.hidden is not None else None
        piece = TokenEvent(
            session=self.session,
            generation=self.how.generation,
            index=len(self.pieces),
            token=self._id(index),
            text=self._text.decode(data, final=end is not None),
            logprob=float(logprobs[index]),
            top=[(self._id(i), logprob) for i, logprob in sampling.most_likely(logprobs, self.how.top_k)],
            array=None if latent is None else 0,
            end=end,
        )
        self.pieces.append((piece, latent))
        return self.added.rows[index - n_vocab :][:1] if added else [index]

    def take(self, token: int, text: str, logprob: float, top: list[tuple[int, float]], end: Any) -> None:
        """One piece that was made elsewhere."""
        place = (self.session, self.how.generation, len(self.pieces))
        self.pieces.append((TokenEvent(*place, token, text, logprob, top, end=end), None))

    def stop(self, why: str) -> None:
        """Ends it with an empty piece that says why; a generation ends exactly once."""
        if not self.ended:
            end: Any = why
            piece = TokenEvent(self.session, self.how.generation, len(self.pieces), 0, "", 0.0, end=end)
            self.pieces.append((piece, None))

    def _id(self, index: int) -> int:
        n_vocab = self.vocabulary.n_vocab
        return self.added.tokens[index - n_vocab].id if index >= n_vocab else index

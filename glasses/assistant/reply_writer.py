"""A reply on its way from the backbone to the voice: tokens, then clauses, then their sound."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from glasses.assistant.claims import without_claims
from glasses.assistant.reply import Synthesizer, TurnProgress, Write, record_work
from glasses.backbone.llama import LlamaBackbone
from glasses.backbone.repetition import stop_on_repetition
from glasses.decoders.clauses import clauses
from glasses.events import Draft, Reply
from glasses.types import Float32Array, Token

MAX_TOKENS = 64


def write_locally(backbone: LlamaBackbone, max_tokens: int = MAX_TOKENS) -> Write:
    """Writes replies with the backbone on this device."""
    return lambda draft, progress: stop_on_repetition(backbone.generate(draft.turn.id, max_tokens=max_tokens))


def word_tokens(turn_id: int, text: str) -> list[Token]:
    """A text that no backbone wrote, as a token for each word with the id -1, so that what was heard can be counted."""
    words = re.findall(r"\s*\S+", text)
    return [Token(turn_id, -1, word, 0.0, None, i == len(words)) for i, word in enumerate(words, 1)]


class SpokenClause(NamedTuple):
    """A clause and its sound, float32 (N,) at the voice's rate."""

    text: str
    pcm: Float32Array


class ReplyWriter:
    """Fills in a Reply's tokens and work as it goes. Each step is taken only when its result is asked for."""

    def __init__(self, write: Write, voice: Synthesizer | None, on_token: Callable[[Reply], None]) -> None:
        """`on_token` is called after each token that was added to a reply."""
        self._write, self._voice, self._on_token = write, voice, on_token

    @property
    def has_voice(self) -> bool:
        """Whether `spoken` can be called."""
        return self._voice is not None

    def tokens(self, reply: Reply, draft: Draft, progress: TurnProgress) -> Iterator[str]:
        """The text of each token of the reply to `draft`, whose rows are those in the KV cache.

        Raises ModelError, ABORTED among others where `progress` says that nobody waits for it.
        """
        given = word_tokens(draft.turn.id, reply.canned_reply) if reply.canned_reply or reply.tool else None
        for token in without_claims(self._write(draft, progress)) if given is None else given:
            reply.first_token_ns = reply.first_token_ns or time.monotonic_ns()
            reply.tokens.append(token)
            progress.check()
            self._on_token(reply)
            yield token.text

    def spoken(self, reply: Reply, draft: Draft, progress: TurnProgress) -> Iterator[SpokenClause]:
        """Each clause with its sound, as soon as it is written. Raises as `tokens`, and ModelError from the voice."""
        assert self._voice is not None
        texts, written_ns = list[str](), 0

        def timed() -> Iterator[str]:
            nonlocal written_ns
            since_ns = time.monotonic_ns()
            for text in clauses(self.tokens(reply, draft, progress)):
                texts.append(text)
                written_ns = record_work(reply, "write", since_ns)
                yield text
                since_ns = time.monotonic_ns()

        for pcm in self._voice.speak(timed()):
            record_work(reply, "voice", written_ns)
            yield SpokenClause(texts[-1], pcm)

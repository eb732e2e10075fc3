"""Log-probabilities of tokens as OpenAI writes them: tokens as text, with their bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glasses.service.server.service import Service
from glasses.types import Token


class Logprobs:
    """Writes tokens of the backbone and added tokens."""

    def __init__(self, service: Service) -> None:
        self._vocabulary, self._added = service.host.loaded.backbone.vocabulary, service.host.added

    def content(self, tokens: Iterable[Token]) -> dict[str, Any]:
        """The `logprobs` of a chat choice or chunk."""
        return {"content": [self._entry(token) for token in tokens], "refusal": None}

    def text(self, token_id: int) -> str:
        """A token as text; U+FFFD stands for part of a character."""
        return self._bytes(token_id).decode("utf-8", "replace")

    def _entry(self, token: Token) -> dict[str, Any]:
        return {**self._one(token.token_id, token.logprob), "top_logprobs": [self._one(*pair) for pair in token.top]}

    def _one(self, token_id: int, logprob: float) -> dict[str, Any]:
        data = self._bytes(token_id)
        return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}

    def _bytes(self, token_id: int) -> bytes:
        if token_id < self._vocabulary.n_vocab:
            return self._vocabulary.token_bytes(token_id) or self._vocabulary.token_bytes(token_id, special=True)
        return next((one.name.encode() for one in self._added.tokens if one.id == token_id), b"")

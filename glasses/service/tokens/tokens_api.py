"""The Tokenizer API: adds, trains, lists and removes tokens of one service. Knows no network.

One change at a time; every change is on disk before it is answered.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glasses.errors import InputError, Reason
from glasses.service.protocol import messages
from glasses.service.protocol.events import TokenInfo, TokenList
from glasses.service.protocol.messages import AddToken, ListTokens, TrainTokens
from glasses.service.tokens import deep_training, token_training
from glasses.service.tokens.added_tokens import AddedTokens

if TYPE_CHECKING:
    from glasses.service.server.service import Service


class TokensAPI:
    """`answer` takes every request of the Tokenizer API. `path` None keeps the tokens in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._lock = path, asyncio.Lock()

    async def answer(self, service: Service, key: str, request: messages.TokenRequest) -> TokenList:
        """Raises InputError (NOT_FOUND, BAD_INPUT, TOO_LARGE), ModelError."""
        async with self._lock:
            if isinstance(request, ListTokens):
                return TokenList(request.rid, list(service.added.tokens))
            if isinstance(request, TrainTokens):
                return await self._train(service, key, request)
            if isinstance(request, AddToken):
                changed = self._add(service, request)
            else:
                changed = service.added.remove(request.name)
            await self._keep(service, key, changed)
            return TokenList(request.rid, list(changed.tokens))

    def _add(self, service: Service, request: AddToken) -> AddedTokens:
        backbone = service.models.backbone
        ids = backbone.tokenize(" " + request.meaning.strip(), special=False)
        row = backbone.token_rows(ids).mean(axis=0)
        about = {"id": 0, "meaning": request.meaning, "version": 0, "decoder": request.decoder}
        infos = [TokenInfo(name=request.name, end=request.end, **about)]
        if request.end:
            infos.append(TokenInfo(name=request.end, begin=request.name, **about))
        return service.added.add(infos, row)

    async def _train(self, service: Service, key: str, request: TrainTokens) -> TokenList:
        added, engine = service.added, service.engine
        if not added.tokens:
            raise InputError(Reason.NOT_FOUND, "there is no token to train: add one first")
        called = {example.call for example in request.examples}
        idle = [token.name for token in added.tokens if token.begin is None and token.name not in called]
        if idle or None not in called:
            raise InputError(
                Reason.BAD_INPUT, f"examples must call every token and also none; missing: {idle or 'none'}"
            )
        if any(example.payload for example in request.examples):
            service.require("token rows")  # what follows a begin token is decided by its input row
        changed, accuracy = await self._fit(service, key, added, request)
        if engine.train_rows is not None and any(example.payload for example in request.examples):
            moved = changed
            changed = await service.run(key, lambda: engine.train_rows(moved, request.examples))
            changed, accuracy = await self._fit(service, key, changed, request)  # an end token's states have moved
        await self._keep(service, key, changed)
        return TokenList(request.rid, list(changed.tokens), len(request.examples), accuracy)

    async def _fit(
        self, service: Service, key: str, added: AddedTokens, request: TrainTokens
    ) -> tuple[AddedTokens, float]:
        states: list[token_training.State] = []
        engine, n_own = service.engine, token_training.own_states(added, request.examples)
        for example in request.examples:
            states += await service.run(key, lambda e=example: token_training.states_of(engine, added, e, n_own))
        n_tokens = len(added.tokens)
        rows, accuracy = await service.run(key, lambda: token_training.fit(states, n_tokens))
        begun = [(s.values, s.wanted) for s in states if s.values is not None]
        if not begun:
            return added.trained(added.rows, rows), accuracy
        values, wanted = np.stack([v for v, _ in begun]), np.array([w for _, w in begun])
        deep, accuracy = await service.run(key, lambda: deep_training.fit(values, wanted, n_tokens))
        return added.trained(added.rows, rows, deep), accuracy

    async def _keep(self, service: Service, key: str, changed: AddedTokens) -> None:
        path, sha256 = self._path, service.models.backbone.sha256
        if path:
            await service.run(key, lambda: changed.save(path, sha256))
        service.added = changed

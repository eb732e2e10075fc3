"""The Tokenizer API: adds, trains, lists and removes the tokens of one service.

Changes are made one at a time, and each is on disk before it is answered.
"""

from __future__ import annotations

import asyncio

import numpy as np

from glasses.backbone import deep_rows
from glasses.errors import InputError, Reason
from glasses.service.engines.engine import TrainsTokenRows
from glasses.service.protocol import messages
from glasses.service.protocol.events import TokenInfo, TokenList
from glasses.service.protocol.messages import AddToken, ListTokens, TrainTokens
from glasses.service.server.engine_host import EngineHost
from glasses.service.tokens import token_training
from glasses.service.tokens.added_tokens import AddedTokens


class TokensAPI:
    """`answer` takes every request of the Tokenizer API, on the tokens that the host's file holds at that time."""

    def __init__(self, host: EngineHost) -> None:
        self._host, self._lock = host, asyncio.Lock()

    async def answer(self, key: str, request: messages.TokenRequest) -> TokenList:
        """Raises InputError (NOT_FOUND, BAD_INPUT, TOO_LARGE), ModelError, RemoteError (UNSUPPORTED, BUSY)."""
        async with self._lock:
            if file := self._host.token_file:
                self._host.added = await asyncio.to_thread(file.newer) or self._host.added
            added = self._host.added
            if isinstance(request, ListTokens):
                return TokenList(request.rid, list(added.tokens))
            if isinstance(request, TrainTokens):
                return await self._train(key, request)
            changed = self._add(request) if isinstance(request, AddToken) else added.remove(request.name)
            await self._keep(changed)
            return TokenList(request.rid, list(changed.tokens))

    def _add(self, request: AddToken) -> AddedTokens:
        backbone = self._host.loaded.backbone
        ids = backbone.tokenize(" " + request.meaning.strip(), special=False)
        row = backbone.token_rows(ids).mean(axis=0)
        about = {"id": 0, "meaning": request.meaning, "version": 0, "decoder": request.decoder}
        infos = [TokenInfo(name=request.name, end=request.end, **about)]
        if request.end:
            infos.append(TokenInfo(name=request.end, begin=request.name, **about))
        return self._host.added.add(infos, row)

    async def _train(self, key: str, request: TrainTokens) -> TokenList:
        host, examples = self._host, request.examples
        self._check(request)
        has_payload = any(example.payload for example in examples)
        if has_payload and not isinstance(host.engine, TrainsTokenRows):
            raise host.unsupported("token rows")  # the input row of a begin token decides what follows it
        changed, accuracy = await self._fit(key, host.added, request)
        if has_payload and isinstance(host.engine, TrainsTokenRows):
            train_rows, fitted = host.engine.train_rows, changed
            changed = await host.run(key, lambda: train_rows(fitted, examples))
            changed, accuracy = await self._fit(key, changed, request)  # the hidden states before end tokens changed
        await self._keep(changed)
        return TokenList(request.rid, list(changed.tokens), len(examples), accuracy)

    def _check(self, request: TrainTokens) -> None:
        tokens = self._host.added.tokens
        if not tokens:
            raise InputError(Reason.NOT_FOUND, "there is no token to train: add one first")
        called = {example.call for example in request.examples}
        idle = [token.name for token in tokens if token.begin is None and token.name not in called]
        if idle or None not in called:
            raise InputError(
                Reason.BAD_INPUT, f"examples must call every token and also none; missing: {idle or 'none'}"
            )

    async def _fit(self, key: str, added: AddedTokens, request: TrainTokens) -> tuple[AddedTokens, float]:
        """Trains classifier rows and deep rows; also returns the share of examples that begin as they should."""
        states: list[token_training.State] = []
        host, n_tokens = self._host, len(added.tokens)
        n_own = token_training.own_states(added, request.examples)
        for example in request.examples:
            states += await host.run(key, lambda e=example: token_training.states_of(host.engine, added, e, n_own))
        rows, accuracy = await asyncio.to_thread(token_training.fit, states, n_tokens)  # numpy: others use the engine
        read = [(state.values, state.wanted) for state in states if state.values is not None]
        if not read:
            return added.trained(added.rows, rows), accuracy
        values, wanted = np.stack([v for v, _ in read]), np.array([w for _, w in read])
        deep, accuracy = await asyncio.to_thread(deep_rows.fit, values, wanted, n_tokens)
        return added.trained(added.rows, rows, deep), accuracy

    async def _keep(self, changed: AddedTokens) -> None:
        if file := self._host.token_file:
            await asyncio.to_thread(file.save, changed)
        self._host.added = changed

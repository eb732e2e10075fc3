"""One open engine, the thread that it belongs to, and its added tokens: what all APIs of a service work on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from glasses.decoders.speech import Voice
from glasses.errors import ModelError, Reason, RemoteError
from glasses.runtime.bundle import SPARE_ONE, LoadedBundle, open_voice
from glasses.service.engines.engine import Ability, Context, Engine, GivesWay, Run
from glasses.service.server.worker import Worker
from glasses.service.tokens.added_tokens import AddedTokens
from glasses.service.tokens.token_file import TokenFile
from glasses.tools.acts import Acts

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Slice:
    is_aborted: bool = False


class EngineHost:
    """`engine` and `added` are set by `start`. `backend` is the engine's name on the command line; added tokens are
    read from the file `tokens_path`, or start empty. `why_not` says why no work is done now, "" where it is. Without
    `has_voice` nothing is read aloud. `open_acts` makes what calls tools for apps, on the engine's thread.
    """

    engine: Engine
    added: AddedTokens

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        *,
        backend: str,
        tokens_path: Path | None = None,
        why_not: Callable[[], str] = lambda: "",
        has_voice: bool = True,
        open_acts: Callable[[LoadedBundle], Acts | None] = lambda loaded: None,
    ) -> None:
        self.backend, self._tokens_path = backend, tokens_path
        self.token_file: TokenFile | None = None  # None: they are kept in memory only
        self._why_not, self._has_voice = why_not, has_voice
        self._open_engine, self._worker = open_engine, Worker()
        self._open_acts = open_acts
        self.acts: Acts | None = None  # what does what apps ask for in words
        self._lock = threading.Lock()
        self._running: _Slice | None = None  # on the thread
        self._slices: dict[str, set[_Slice]] = {}  # that wait or run, by their key
        self._voice: Voice | None = None

    @property
    def loaded(self) -> LoadedBundle:
        """The engine's bundle."""
        return self.engine.loaded

    def new_context(self) -> Context:
        """A context after the system prompt."""
        return Context(self.engine.chat.n_past, self.engine.chat.state)

    async def start(self) -> None:
        """Opens the engine on its thread. Raises as `open_engine` and `added_tokens.load` do."""
        self.engine = await self._worker.run("start", self._open_engine)
        self.acts = await self._worker.run("start", lambda: self._open_acts(self.loaded))
        backbone = self.loaded.backbone
        sizes = (backbone.n_vocab, backbone.n_embd)
        if self._tokens_path:
            self.token_file = TokenFile(self._tokens_path, backbone.sha256, *sizes)
        self.added = self.token_file.load() if self.token_file else AddedTokens.empty(*sizes)

    def voice(self) -> Voice:
        """The bundle's voice, opened when first asked for; on the engine's thread. Raises ModelError: NOT_INSTALLED
        (extra `voice`), NOT_FOUND, CORRUPT, UNSUPPORTED.
        """
        if not self._has_voice:
            raise ModelError(Reason.UNSUPPORTED, "the voice of these glasses is the wearer's; `glasses serve` has one")
        if self._voice is None:
            self._voice = open_voice(self.loaded.bundle.name, n_threads=SPARE_ONE)
        return self._voice

    async def close(self) -> None:
        """Fails what waits and frees the engine."""

        def free() -> None:
            if self._voice is not None:
                self._voice.close()
            self.engine.close()

        await self._worker.close(free)

    async def run(
        self, key: str, function: Callable[[], _T], *, client: str | None = None, deadline_ns: int | None = None
    ) -> _T:
        """Runs `function`, a slice of the work for `key`, on the engine's thread, whose time clients share as
        `Worker.run` says; a key is a client of its own where none is given. Raises what it raises,
        ModelError(ABORTED) after `abort`, and RemoteError(BUSY).
        """
        if why_not := self._why_not():
            raise RemoteError(Reason.BUSY, why_not)
        this = _Slice()
        self._slices.setdefault(key, set()).add(this)

        def guarded() -> _T:
            with self._lock:
                if this.is_aborted:
                    raise ModelError(Reason.ABORTED, "cancelled before its turn came")
                self._running = this
                self.engine.clear_abort()
            try:
                if isinstance(self.engine, GivesWay):
                    self.engine.wait()
                return function()
            finally:
                with self._lock:
                    self._running = None

        try:
            return await self._worker.run(client or key, guarded, deadline_ns)
        finally:
            self._slices[key].discard(this)
            if not self._slices[key]:
                del self._slices[key]

    def runner(self, key: str) -> Run:
        """`run` with this key."""
        return partial(self.run, key)

    def abort(self, key: str) -> None:
        """Stops what the engine does for `key`, and what waits for its turn to be done for it."""
        with self._lock:
            for each in self._slices.get(key, ()):
                each.is_aborted = True
                if each is self._running:
                    self.engine.abort()

    def unsupported(self, ability: Ability) -> RemoteError:
        """The error for a request that this backend cannot do."""
        return RemoteError(
            Reason.UNSUPPORTED,
            f"the backend {self.backend} has no {ability} API: it can do {', '.join(self.engine.can)}; "
            "serve with --backend torch for all of them",
        )

    def require(self, ability: Ability) -> None:
        """Raises RemoteError(UNSUPPORTED) for an ability that the engine does not declare."""
        if ability not in self.engine.can:
            raise self.unsupported(ability)

"""The turns before, as the remote model knows them: a session of the service, from which each turn's is branched."""

from __future__ import annotations

from collections.abc import Sequence

from glasses.errors import Reason, RemoteError
from glasses.service.client.client import Client, RemoteSession
from glasses.service.protocol.packing import Input

MOST_TURNS = 8
_GONE = (Reason.CONTEXT_FULL, Reason.NOT_FOUND)  # the session is to be made anew


class RemoteHistory:
    """Belongs to one event loop. What was added is sent when a session is asked for: once, unless the link is lost."""

    def __init__(self) -> None:
        self._turns: list[tuple[tuple[Input, ...], str]] = []
        self._session: RemoteSession | None = None
        self._n_fed = 0  # of the turns, in the session
        self.version = 0  # of the turns: changes with them

    def add(self, inputs: Sequence[Input], said: str) -> None:
        """One more turn is over: what the user gave, and what was heard of the reply, whoever made it."""
        self._turns.append((tuple(inputs), said))
        if len(self._turns) > MOST_TURNS:
            del self._turns[: MOST_TURNS // 2]
            self._n_fed = -1
        self.version += 1

    def forget(self) -> RemoteSession | None:
        """There are no turns before. Returns the session that held them, which is to be closed."""
        session, self._session = self._session, None
        self._turns, self._n_fed = [], 0
        self.version += 1
        return session

    async def branch(self, client: Client) -> RemoteSession:
        """A session for the next turn, which knows all turns before. Raises RemoteError."""
        if not self._turns:
            return await client.open()
        try:
            return await (await self._fed(client)).branch()
        except RemoteError as error:
            if error.reason in _GONE:
                self._session = None
            if error.reason is Reason.CONTEXT_FULL:
                del self._turns[: max(1, len(self._turns) // 2)]
            raise

    async def _fed(self, client: Client) -> RemoteSession:
        session = self._session
        if session is None or session.client is not client or self._n_fed < 0:
            if session and session.client is client:
                await session.close()
            session = self._session = await client.open()
            self._n_fed = 0
        version = self.version
        while self.version == version and self._n_fed < len(self._turns):
            inputs, said = self._turns[self._n_fed]
            self._n_fed += 1
            await session.feed(*inputs)
            async for _ in session.generate(max_tokens=1, said=said):  # which takes `said` for the reply; no token of
                pass  # the service's own stays behind it
        return session

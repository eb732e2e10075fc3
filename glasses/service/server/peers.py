"""Connections as the service sees them, and the gate where they wait while somebody else goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from glasses.service.protocol import wire
from glasses.service.protocol.events import Event
from glasses.types import Float32Array


class Peer(Protocol):
    """One connection. `key` names it in the fair queue; arrays are sent to it as `dtype`."""

    key: str
    dtype: wire.Dtype

    def send(self, data: bytes) -> None:
        """Never waits; drops the connection if it cannot keep up."""
        ...


@dataclass(frozen=True, slots=True)
class Sender:
    """Encodes and sends events to one connection."""

    peer: Peer

    def __call__(self, event: Event, arrays: Sequence[Float32Array]) -> None:
        self.peer.send(wire.encode(event, arrays, self.peer.dtype))


class Gate:
    """While it is closed nothing is read from clients: reading alone costs time that is somebody else's.

    A connection that is asked for something, such as a call of its tool, is read all the same. Belongs to the event
    loop.
    """

    def __init__(self) -> None:
        self._is_open, self._changed = True, asyncio.Event()
        self._let_in: dict[str, int] = {}  # by the key of a peer: what it is asked for

    def set_open(self, is_open: bool) -> None:
        """Opens or closes it for all."""
        self._is_open = is_open
        self._tell()

    def let_in(self, key: str, n: int) -> None:
        """Counts `n` more (1) or fewer (-1) things that the peer is asked for."""
        self._let_in[key] = self._let_in.get(key, 0) + n
        if self._let_in[key] <= 0:
            del self._let_in[key]
        self._tell()

    async def wait(self, key: str = "") -> None:
        """Returns once the peer `key` may be read."""
        while not self._is_open and key not in self._let_in:
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

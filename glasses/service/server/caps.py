"""Limits of a service, and what is different where it is inside of worn glasses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from glasses.service.server.app_tools import AppTools
from glasses.service.server.budget import MAX_BYTES
from glasses.service.server.peers import Gate


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits that protect memory and time; a session takes up to 23 KB a row (SmolLM2-135M)."""

    sessions: int = 8
    linger_s: float = 60.0  # how long a session stays after its connection is lost
    idle_s: float = 600.0  # how long a connected session may do nothing
    spare_idle_s: float = 10.0  # how long a client may keep more idle sessions than others where they find no room
    request_bytes: int = MAX_BYTES  # of requests that wait or are worked on, of all clients

    @property
    def for_http(self) -> int:
        """HTTP requests that have a session at the same time; the others are for WebSockets, such as a wearer's."""
        return max(1, self.sessions - max(1, self.sessions // 4))


@dataclass(frozen=True, slots=True)
class Worn:
    """The wearer's side. `why_not`: why no app is served now, "" where they are. `gate` is closed while the wearer goes
    first. `tools`: what takes the tools of apps, None for nothing.
    """

    why_not: Callable[[], str] = lambda: ""
    gate: Gate = field(default_factory=Gate)
    tools: AppTools | None = None

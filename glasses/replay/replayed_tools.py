"""The tools of a replay: by the clock of its stream, kept in memory. Of the device nothing is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from glasses.assistant.announcement_turns import AnnouncementTurns
from glasses.assistant.announcements import Announcements
from glasses.assistant.announcer import DueQueue
from glasses.assistant.clock import Clock as StreamTime
from glasses.assistant.inbox import Announce
from glasses.assistant.listener import Listener
from glasses.assistant.open_tools import open_caller, registry_of
from glasses.assistant.tool_turn import CalledTools
from glasses.events import Announced, Signal
from glasses.runtime.bundle import LoadedBundle
from glasses.tools.schedule import Clock
from glasses.tools.store import ToolStore
from glasses.tools.tool import ToolContext
from glasses.types import NS_PER_S, Button, Float32Array

STARTS = datetime(2026, 12, 2, 10, 30)  # what the wearer's clock shows as a replay begins, so that it answers the same
LOOK_NS = NS_PER_S // 5


@dataclass(frozen=True, slots=True)
class ReplayedAnnouncement:
    """What was said without being asked, from `t_ns` on; `pcm` is at the voice's rate, None without a voice."""

    t_ns: int
    kind: str
    text: str
    pcm: Float32Array | None


class ReplayedTools:
    """Belongs to the thread of the replay. `turns` is None where the bundle has nothing that chooses among tools."""

    def __init__(self, loaded: LoadedBundle, clock: StreamTime) -> None:
        self._clock, self._looked_ns = clock, 0
        self._start_ns: int | None = None  # of the stream
        self.announcements, self._store = Announcements(now_ns=clock.now_ns), ToolStore(":memory:")
        self._dues = DueQueue(self._store, self.announcements, lambda: Clock(self._now(), "replay", 0.0))
        registry = registry_of(self._store)
        caller = open_caller(loaded, registry, ToolContext(self._now, self._store, tools=registry))
        self.turns = CalledTools(caller, self.announcements.say) if caller else None
        self._announcing: AnnouncementTurns | None = None
        self._begun: Announced | None = None

    def attach(self, listener: Listener, say: Callable[[Announce], None]) -> None:
        """`say` has the responder say an announcement."""
        self._announcing = AnnouncementTurns(self.announcements, listener, publish=self._publish, say=say)

    def touched(self, touch: Button) -> list[Signal] | None:
        """See `AnnouncementTurns.touched`."""
        assert self._announcing
        return self._announcing.touched(touch)

    def step(self, signals: list[Signal]) -> None:
        """The stream has come to its clock's time, which led to `signals`: what is due now is announced."""
        assert self._announcing
        now_ns = self._clock.now_ns()
        self._start_ns = now_ns if self._start_ns is None else self._start_ns
        for signal in signals:
            self._announcing.told(signal)
        if now_ns - self._looked_ns >= LOOK_NS:
            self._looked_ns = now_ns
            self._dues.look()
        self._announcing.step(now_ns, muted=False)

    def ended(self, share: float, pcm: Float32Array | None) -> tuple[Announced | None, ReplayedAnnouncement | None]:
        """An announcement is over, and `share` of it was heard: what the listener is told, and what was said."""
        begun, self._begun = self._begun, None
        said = ReplayedAnnouncement(begun.t_ns, begun.kind, begun.text, pcm) if begun else None
        return self.announcements.end(share), said

    def _publish(self, event: object) -> None:
        if isinstance(event, Announced) and event.state == "begun":
            self._begun = event

    def _now(self) -> datetime:
        now_ns = self._clock.now_ns()
        elapsed_ns = 0 if self._start_ns is None else now_ns - self._start_ns
        return STARTS + timedelta(microseconds=elapsed_ns / 1000)

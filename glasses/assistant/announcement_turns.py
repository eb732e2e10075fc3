"""The listening thread's part in announcements: when one may begin, and what a touch or a turn means for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from glasses.assistant.announcements import Announcements
from glasses.assistant.inbox import Announce
from glasses.assistant.listener import Listener
from glasses.events import Announced, ReplyState, Signal, TurnCompleted, TurnEvent, TurnSignal
from glasses.system.supervised import SupervisedThread
from glasses.types import Button


class AnnouncementTurns:
    """Belongs to the listening thread, but for `after_reply`."""

    def __init__(
        self,
        announcements: Announcements,
        listener: Listener,
        *,
        publish: Callable[[object], None],
        say: Callable[[Announce], None],
    ) -> None:
        """`say` has the responder say one."""
        self._announcements, self._listener, self._publish, self._say = announcements, listener, publish, say
        self._after_reply: deque[Callable[[], object]] = deque()
        self._talk_ns = self._busy_ns = 0  # when somebody last spoke; when a turn or reply last was

    def after_reply(self, action: Callable[[], object]) -> None:
        """Does something, on a thread of its own, once no turn is open and no reply is under way; from any thread."""
        self._after_reply.append(action)

    def take(self, state: ReplyState | Announced, now_ns: int) -> None:
        """What the responder told."""
        if isinstance(state, ReplyState):
            self._busy_ns = now_ns

    def touched(self, touch: Button) -> list[Signal] | None:
        """A touch ends what is being said, or rings, also while muted; None: it is meant for a turn."""
        if not self._announcements.is_active:
            return None
        self._answer()
        if not self._announcements.is_saying:
            return []
        return [TurnSignal(TurnEvent.INTERRUPTED, touch.t_ns, self._listener.turn_id)]

    def told(self, signal: Signal) -> None:
        """A signal went to the responder: who says something to the assistant has heard what rings."""
        if isinstance(signal, TurnCompleted):
            self._answer()

    def step(self, now_ns: int, *, muted: bool) -> None:
        """Begins to say what waits to be said, where that interrupts nobody."""
        if self._listener.hears_speech and not muted:
            self._talk_ns = now_ns
        if not self._listener.is_idle:
            self._busy_ns = now_ns
            return
        while self._after_reply:
            SupervisedThread(self._after_reply.popleft(), "after a reply").start()
        if begun := self._announcements.begin(now_ns, self._talk_ns, self._busy_ns):
            announced, announcement = begun
            self._publish(announced)
            self._listener.feed(announced)
            self._say(Announce(announced.id, announced.text, announcement.sound))

    def _answer(self) -> None:
        for ended in self._announcements.answer():
            self._publish(ended)

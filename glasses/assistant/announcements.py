"""What the assistant says without having been asked just now: timers that are up, results that took long, sounds.

They wait here for a polite moment: never within a turn or a reply, nor while somebody speaks, unless they have waited
for PATIENCE_S. An alarm rings: it is said again until somebody touches or answers, RINGS times at the most.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from glasses.errors import GlassesError
from glasses.events import Announced, AnnouncementState
from glasses.types import NS_PER_S, Float32Array

log = logging.getLogger(__name__)
RINGS, RING_PAUSE_S = 3, 8.0  # an alarm clock rings for a minute; words are enough three times, then it stays visible
QUIET_S = 0.8  # after a reply or somebody's speech, in which the wearer may still go on
PATIENCE_S = 5.0  # then it goes first, also where a television never stops talking
TOLD_SHARE = 0.5  # of its sound; what was interrupted before is said once more
AGAIN_S = 10.0  # later, after an interruption, or where there is no speaker
TRIES = 6  # of which nothing was heard; then that it was shown has to do
MAX_WAITING = 100
MAX_TEXT = 600  # characters: about 40 s of speech


def _always() -> bool:
    return True


def _nothing() -> None:
    return None


@dataclass(slots=True, eq=False)
class Announcement:
    """Something to say. `words` gives its text when it is said, `sound` is played instead of the text being spoken:
    float32 (N,) at the voice's rate.

    `rings`: it is said again until somebody answers. `on_told` is called once, when the wearer has heard it; what
    `is_wanted` says no to any more is not said. `at_once`: it follows a reply without a pause.
    """

    kind: str
    words: Callable[[], str]
    sound: Float32Array | None = None
    rings: bool = False
    on_told: Callable[[], None] = _nothing
    is_wanted: Callable[[], bool] = _always
    at_once: bool = False
    id: int = 0
    number: int = 0  # how often it was begun
    is_told: bool = False
    since_ns: int = 0  # it may be said from then on
    text: str = field(default="", init=False)  # as it was last said


class Announcements:
    """The queue, oldest first; one is said at a time. Any thread may use it, `begin` the listening one only."""

    def __init__(
        self,
        *,
        ring_pause_s: float = RING_PAUSE_S,
        again_s: float = AGAIN_S,
        quiet_s: float = QUIET_S,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`now_ns` is the host's monotonic clock, or that of a replay."""
        self._now_ns = now_ns
        self._ring_pause_s, self._again_s, self._quiet_ns = ring_pause_s, again_s, round(quiet_s * NS_PER_S)
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: list[Announcement] = []
        self._saying: Announcement | None = None
        self._is_answered = False  # what is being said

    def say(self, text: str, kind: str = "result") -> None:
        """Says a sentence at the next polite moment."""
        self.add(Announcement(kind, lambda: text))

    def add(self, one: Announcement) -> bool:
        """One more; False, logged, and it is dropped where MAX_WAITING wait already."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                log.error("too much to announce: %s is dropped", one.kind)
                return False
            one.id, one.since_ns = next(self._ids), self._now_ns()
            self._waiting.append(one)
        return True

    @property
    def is_active(self) -> bool:
        """Whether one is being said, or rings and will be said again: a touch is meant for it."""
        with self._lock:
            return self._saying is not None or any(one.rings and one.is_told for one in self._waiting)

    @property
    def is_saying(self) -> bool:
        """Whether one is being said."""
        with self._lock:
            return self._saying is not None

    def answer(self) -> list[Announced]:
        """The wearer touched, or said something to the assistant: nothing rings any more. Returns what ended so."""
        with self._lock:
            self._is_answered = True
            ended = [one for one in self._waiting if one.rings and one.is_told]
            self._waiting = [one for one in self._waiting if one not in ended]
        return [self._state(one, "answered") for one in ended]

    def forget(self) -> None:
        """Wiped: nothing of a conversation is said any more. What fell due is no part of it, and stays."""
        with self._lock:
            self._waiting = [one for one in self._waiting if one.is_wanted is not _always]

    def drop_sounds(self) -> None:
        """Forgets sounds that wait: "stop" means them too."""
        with self._lock:
            self._waiting = [one for one in self._waiting if one.sound is None]

    def begin(self, now_ns: int, quiet_since_ns: int, idle_since_ns: int) -> tuple[Announced, Announcement] | None:
        """The one to be said now, or None. Nobody has spoken since `quiet_since_ns`; no turn nor reply is under way
        since `idle_since_ns`.
        """
        with self._lock:
            if self._saying is not None:
                return None
            ready = [one for one in self._waiting if one.since_ns <= now_ns]
            quiet_ns, idle_ns = now_ns - quiet_since_ns, now_ns - idle_since_ns
            one = next((one for one in ready if self._may_begin(one, now_ns, quiet_ns, idle_ns)), None)
            if one is None:
                return None
            self._waiting.remove(one)
            self._saying, self._is_answered = one, False
        if not (one.is_told or one.is_wanted()):
            with self._lock:
                self._saying = None
            return None
        one.text, one.number = one.words()[:MAX_TEXT], one.number + 1
        return self._state(one, "begun"), one

    def end(self, share: float) -> Announced | None:
        """What is being said was said to this share, 0 to 1, and is over. Returns what has become of it."""
        with self._lock:
            one, self._saying = self._saying, None
            is_answered = self._is_answered
        if one is None:
            return None
        heard = (
            share > TOLD_SHARE or one.is_told or one.number >= (2 if share else TRIES) or (one.rings and is_answered)
        )
        if heard and not one.is_told:
            one.is_told = True
            _tell(one)
        if not heard:
            self._again(one, self._again_s)
            return self._state(one, "interrupted")
        if one.rings:
            if is_answered:
                return self._state(one, "answered")
            if one.number >= RINGS:
                return self._state(one, "missed")
            self._again(one, self._ring_pause_s)
        return self._state(one, "told")

    def _may_begin(self, one: Announcement, now_ns: int, quiet_ns: int, idle_ns: int) -> bool:
        is_patient = now_ns - one.since_ns < PATIENCE_S * NS_PER_S
        return one.at_once or (idle_ns >= self._quiet_ns and (quiet_ns >= self._quiet_ns or not is_patient))

    def _again(self, one: Announcement, pause_s: float) -> None:
        with self._lock:
            one.since_ns = self._now_ns() + round(pause_s * NS_PER_S)
            self._waiting.append(one)

    def _state(self, one: Announcement, state: AnnouncementState) -> Announced:
        return Announced(self._now_ns(), one.id, one.kind, one.text, one.number, state)


def _tell(one: Announcement) -> None:
    try:
        one.on_told()
    except GlassesError as error:  # a full disk: it would be said again after a restart
        log.error("it was told, but that could not be written down: %s", error)

"""A process for test_announced_day.py: the real announcer, queue, listener and responder, without models."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from glasses.assistant.announcement_turns import AnnouncementTurns
from glasses.assistant.announcements import Announcements
from glasses.assistant.announcer import Announcer
from glasses.assistant.listener import Listener
from glasses.assistant.responder import Responder
from glasses.assistant.turn_manager import TurnManager
from glasses.devices.speaker import AudioOutput
from glasses.events import Announced
from glasses.tools.schedule import Clock
from glasses.tools.store import ToolStore
from glasses.types import Button, Float32Array
from tests.unit.assistant.test_responder import Backbone

START = datetime(2026, 3, 4, 6)
RATE_HZ = 8000


class Voice:
    """As many samples as the text has letters, some milliseconds."""

    rate_hz = RATE_HZ

    def speak(self, clauses: Iterator[str]) -> Iterator[Float32Array]:
        for clause in clauses:
            yield np.full(8 * len(clause), 0.1, np.float32)

    def abort(self) -> None: ...


class Loudspeaker(AudioOutput):
    """Plays in real time, on a thread of its own."""

    def __init__(self) -> None:
        super().__init__(RATE_HZ, RATE_HZ)
        threading.Thread(target=self._play, daemon=True).start()

    def _play(self) -> None:
        while True:
            self._next(RATE_HZ // 500, time.monotonic_ns())
            time.sleep(0.002)

    @property
    def gone(self) -> bool:
        return False

    def close(self) -> None: ...


def clock_of(times: Sequence[float]) -> Clock:
    """`times`: seconds of the wall since START, of the boot, and which boot it is."""
    return Clock(START + timedelta(seconds=times[0]), str(int(times[2])), times[1])


def live(path: Path, log: Path, times: Any) -> None:
    """Runs until it is killed. Of each announcement that begins, or was told, a line goes to `log`."""
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    announcements = Announcements(quiet_s=0, again_s=0)
    states: deque[Announced] = deque()

    def publish(event: object) -> None:
        if isinstance(event, Announced):
            os.write(out, f"{event.state} {event.number} {event.text}\n".encode())

    def ended(id: int, share: float) -> None:
        if announced := announcements.end(share):
            states.append(announced)

    vad: Any = SimpleNamespace(reset=lambda: None, feed=lambda pcm: ())
    encoder: Any = SimpleNamespace(turn_id=0, most_follow_ups=1)
    listener = Listener(vad, TurnManager(), encoder)
    bundle = SimpleNamespace(history_turns=None)
    loaded: Any = SimpleNamespace(backbone=Backbone(), n_prefix=0, bundle=bundle)
    voice: Any = Voice()
    responder = Responder(loaded, voice, Loudspeaker(), on_state=lambda state: None, on_announced=ended)
    turns = AnnouncementTurns(announcements, listener, publish=publish, say=responder.announce)
    Announcer(ToolStore(path), announcements, clock=lambda: clock_of(times), look_s=0.005)
    threading.Thread(target=responder.run, daemon=True).start()
    while True:
        now_ns = time.monotonic_ns()
        while states:
            publish(state := states.popleft())
            listener.feed(state)
            if state.state == "told":
                turns.touched(Button(now_ns, "tap"))  # the wearer has heard it
        turns.step(now_ns, muted=False)
        time.sleep(0.001)

"""Observers cannot block whoever publishes to them, and are told what they missed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from glasses.assistant.observers import EventsDropped, ObserverQueue, Observers
from glasses.types import AudioChunk, Button, DeviceChange, Frame, OwnVoice, Wiped

PATIENCE_S = 10.0


class Stuck:
    """Takes every event into a list; stands still in the first one until `go` is set."""

    name = "stuck"

    def __init__(self) -> None:
        self.go, self.entered = threading.Event(), threading.Event()
        self.took: list[Any] = []

    @property
    def handlers(self) -> dict[type, Callable[[Any], None]]:
        return dict.fromkeys((AudioChunk, Frame, DeviceChange, Wiped, Button, EventsDropped), self.take)

    def take(self, event: Any) -> None:
        self.entered.set()
        self.go.wait(PATIENCE_S)
        self.took.append(event)


def chunk(seq: int) -> AudioChunk:
    return AudioChunk(seq, seq, np.zeros(320, np.int16), 16_000)


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def test_observer_that_blocks_never_delays_publish_and_keeps_the_newest() -> None:
    stuck = Stuck()
    observers = Observers([stuck])
    observers.publish(Button(0, "tap"))
    assert stuck.entered.wait(PATIENCE_S)
    began_s = time.monotonic()
    for seq in range(5000):
        observers.publish(chunk(seq))
    for seq in range(50):
        observers.publish(Frame(seq, seq, np.zeros((2, 2, 3), np.uint8)))
    assert time.monotonic() - began_s < 5.0
    stuck.go.set()
    observers.close()
    assert [event.seq for event in stuck.took if isinstance(event, AudioChunk)] == list(range(4750, 5000))
    assert [event.seq for event in stuck.took if isinstance(event, Frame)] == [48, 49]
    assert observers.n_dropped == {"stuck": 4750 + 48}
    assert stuck.took[1] == EventsDropped(stuck.took[1].t_ns, 4798)


def test_observer_that_blocks_loses_no_privacy_event() -> None:
    stuck = Stuck()
    waiting = ObserverQueue(stuck, most_waiting={DeviceChange: 2, Wiped: 1})
    waiting.put(Button(0, "tap"))
    assert stuck.entered.wait(PATIENCE_S)
    private = [DeviceChange(1, "muted"), Wiped(2), DeviceChange(3, "unmuted"), Wiped(4), DeviceChange(5, "muted")]
    for event in private:
        waiting.put(event)
    stuck.go.set()
    assert waiting.close(PATIENCE_S)
    assert stuck.took[1:] == private
    assert waiting.n_dropped == 0


def test_observer_takes_events_in_order_and_only_those_it_wants() -> None:
    stuck = Stuck()
    stuck.go.set()
    observers = Observers([stuck])
    given = [chunk(1), Button(2, "tap"), chunk(3), Wiped(4)]
    for event in given:
        observers.publish(event)
        observers.publish(OwnVoice(0, True))
    observers.close()
    assert stuck.took == given
    assert observers.n_dropped == {}


def test_observer_that_blocks_is_left_behind_at_the_end() -> None:
    stuck = Stuck()
    waiting = ObserverQueue(stuck)
    waiting.put(Wiped(1))
    assert stuck.entered.wait(PATIENCE_S)
    waiting.put(Wiped(2))
    began_s = time.monotonic()
    assert not waiting.close(0.1)
    assert time.monotonic() - began_s < 5.0
    stuck.go.set()
    assert waiting.close(PATIENCE_S)


def test_observer_that_raises_is_logged_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    took: list[int] = []

    class Fragile:
        name = "fragile"

        @property
        def handlers(self) -> dict[type, Callable[[Any], None]]:
            return {Wiped: self.take}

        def take(self, wiped: Wiped) -> None:
            if wiped.t_ns == 1:
                raise ValueError("cannot show this")
            took.append(wiped.t_ns)

    with caplog.at_level(logging.CRITICAL):
        waiting = ObserverQueue(Fragile())
        waiting.put(Wiped(1))
        waiting.put(Wiped(2))
        until(lambda: took == [2])
        waiting.close()
    assert [record.message for record in caplog.records] == [
        "thread observer fragile failed: ValueError('cannot show this')"
    ]

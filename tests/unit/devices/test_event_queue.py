"""What a full event queue drops, and what it never drops."""

from __future__ import annotations

import numpy as np

from glasses.devices.event_queue import EventQueue
from glasses.types import AudioChunk, Button, Frame, SensorEvent, frozen


def chunk(i: int) -> AudioChunk:
    return AudioChunk(i, i, frozen(np.zeros(320, np.int16)), 16_000)


def frame(i: int) -> Frame:
    return Frame(i, i, frozen(np.zeros((2, 2, 3), np.uint8)))


def times(queue: EventQueue) -> list[int]:
    taken = list[SensorEvent]()
    while (event := queue.get(0.0)) is not None:
        taken.append(event)
    return [event.t_ns for event in taken]


def test_event_queue_full_drops_the_oldest_chunk_and_counts_it() -> None:
    queue = EventQueue(max_events=3)
    for i in range(5):
        queue.put(chunk(i))
    assert times(queue) == [2, 3, 4]
    assert (queue.n_lost_chunks, queue.n_lost_frames) == (2, 0)


def test_event_queue_full_never_drops_a_button() -> None:
    queue = EventQueue(max_events=3)
    queue.put(Button(0, "tap"))
    queue.put(frame(1))
    for i in range(2, 6):
        queue.put(chunk(i))
    queue.put(Button(6, "tap"))
    assert times(queue) == [0, 5, 6]
    assert (queue.n_lost_chunks, queue.n_lost_frames) == (3, 1)


def test_event_queue_full_of_buttons_drops_the_sound_that_comes() -> None:
    queue = EventQueue(max_events=2)
    for event in (Button(0, "tap"), Button(1, "tap"), chunk(2), Button(3, "tap"), chunk(4)):
        queue.put(event)
    assert times(queue) == [0, 1, 3]
    assert queue.n_lost_chunks == 2

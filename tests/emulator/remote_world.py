"""Glasses that `RemoteGlasses` is connected to, and what came of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from firmware_bridge.security import key_of
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import LocalDevices
from glasses.devices.remote import RemoteGlasses
from glasses.types import AudioChunk, Frame, SensorEvent
from tests.emulator.stand_in import StandIn

PATIENCE_S = 30.0


class World:
    """Glasses, the link to them, and their output: `events` of the queue, `notes`, and the sound `said`."""

    def __init__(self, glasses: StandIn) -> None:
        self.glasses, self.queue = glasses, EventQueue()
        self.events, self.notes = list[SensorEvent](), list[str]()
        self.heard = bytearray()
        key = key_of(str(glasses.code))
        self.linked = RemoteGlasses(
            glasses.address, key, LocalDevices(), on_touch=self.queue.put, note=self.notes.append
        )
        self.on_device(lambda: glasses.firmware.listen(self.heard.extend))

    def on_device(self, what: Callable[[], object]) -> None:
        """Calls `what` between two steps of the firmware."""
        self.glasses.between_steps(what)

    def sound(self, pcm: np.ndarray) -> None:
        """Lets their microphone hear int16 (N,)."""
        self.on_device(lambda: self.glasses.firmware.sound(pcm))

    def simulate(self, what: str, value: int) -> None:
        """Simulates an input or a fault."""
        self.on_device(lambda: self.glasses.firmware.simulate(what, value))

    def until(self, true: Callable[[], object], what: str) -> None:
        """Takes events until `true` holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end_s, f"not within {PATIENCE_S:.0f} s: {what}; notes: {self.notes}"
            event = self.queue.get(0.02)
            if event is not None:
                self.events.append(event)

    @property
    def pcm(self) -> np.ndarray:
        """All sound received, int16 (N,)."""
        return np.concatenate([np.zeros(0, np.int16), *(e.pcm for e in self.events if isinstance(e, AudioChunk))])

    @property
    def frames(self) -> list[Frame]:
        """All pictures received."""
        return [event for event in self.events if isinstance(event, Frame)]

    @property
    def said(self) -> np.ndarray:
        """All sound that the speaker got, int16 (N,)."""
        return np.frombuffer(bytes(self.heard), np.int16)


@pytest.fixture(params=["pty", "tcp"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Connected glasses with no device opened."""
    with StandIn(request.param) as glasses:
        glasses.between_steps(lambda: glasses.firmware.sound(np.zeros(1, np.int16)))
        world = World(glasses)
        yield world
        world.linked.close()
        world.linked.close()

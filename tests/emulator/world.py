"""Host link and firmware over a bad wire in simulated time: ten minutes take seconds, and runs are repeatable."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from firmware_bridge import protocol
from firmware_bridge.link import Link
from firmware_bridge.protocol import Message
from firmware_bridge.states import Change, Config, State
from tests.emulator.firmware import Firmware

STEP_US = 1000
START_US = 1_000_000_000


@dataclass
class Wire:
    """One direction. Shares are of frames. A frame takes `delay_us` plus up to `jitter_us`, so frames may overtake."""

    random: random.Random
    loss: float = 0.0
    duplication: float = 0.0
    flips: float = 0.0
    delay_us: int = 0
    jitter_us: int = 0
    cut: bool = False
    seen: int = 0
    harmed: int = 0
    _under_way: list[tuple[int, int, bytes]] = field(default_factory=list)

    def put(self, data: bytes, now_us: int) -> None:
        for frame in data.split(b"\0")[:-1]:
            self.seen += 1
            copies = (not self.cut and self.random.random() >= self.loss) * (
                1 + (self.random.random() < self.duplication)
            )
            self.harmed += copies != 1
            for _ in range(copies):
                late = self.delay_us + (self.random.randrange(self.jitter_us) if self.jitter_us else 0)
                heapq.heappush(self._under_way, (now_us + late, self.seen, self._spoil(frame) + b"\0"))

    def _spoil(self, frame: bytes) -> bytes:
        if not frame or self.random.random() >= self.flips:
            return frame
        self.harmed += 1
        spoilt = bytearray(frame)
        spoilt[self.random.randrange(len(spoilt))] ^= 1 << self.random.randrange(8)
        return bytes(spoilt)

    def get(self, now_us: int) -> bytes:
        out = []
        while self._under_way and self._under_way[0][0] <= now_us:
            out.append(heapq.heappop(self._under_way)[2])
        return b"".join(out)


class World:
    """Host and device. `run` advances time; `messages` collects (time of arrival, message) of the device."""

    def __init__(self, *, config: Config | None = None, code: str | None = None, seed: int = 1, **wire: float) -> None:
        self.random = random.Random(seed)
        self.now_us = START_US
        self.link = Link(config, random=self.random.randbytes)
        self.device = Firmware(code=code, seed=seed, now_us=self.now_us)
        self.down = Wire(self.random, **wire)  # type: ignore[arg-type]
        self.up = Wire(self.random, **wire)  # type: ignore[arg-type]
        self.messages: list[tuple[int, Message]] = []
        self.changes: list[tuple[int, Change]] = []
        self.chunked = False  # cut the stream anywhere
        self.link.start(self.now_us)

    def run(self, until: Callable[[], bool] | None = None, *, for_us: int = 10_000_000) -> bool:
        """Steps until `until()` is true or the time is over; returns whether it became true."""
        end_us = self.now_us + for_us
        while self.now_us < end_us:
            self._step()
            if until is not None and until():
                return True
        return until is None

    def _step(self) -> None:
        self.now_us += STEP_US
        now_us = self.now_us
        if self.link.state is State.OPENING:
            self.link.opened(now_us)
        to_device = self.down.get(now_us)
        self.up.put(self._device(to_device, now_us), now_us)
        for piece in self._pieces(self.up.get(now_us)):
            self.link.received(piece, now_us)
        while (data := self.link.transmit(now_us)) != b"":
            self.down.put(data, now_us)
        while (taken := self.link.take()) is not None:
            self.messages.append((now_us, protocol.decode(taken[1])))
        while self.link.changes:
            self.changes.append((now_us, self.link.changes.popleft()))

    def _device(self, data: bytes, now_us: int) -> bytes:
        pieces = self._pieces(data)
        return b"".join([self.device.step(piece, now_us) for piece in pieces] or [self.device.step(b"", now_us)])

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.chunked or not data:
            return [data] if data else []
        cuts = sorted(self.random.randrange(len(data)) for _ in range(3))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]

    def of(self, name: str) -> list[Message]:
        """All messages of that name so far."""
        return [message for _, message in self.messages if message.name == name]

    @property
    def is_up(self) -> bool:
        """Whether the host's end is up."""
        return self.link.state is State.UP

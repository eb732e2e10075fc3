"""An emulated OMI Glass or Omi pendant: it behaves as its firmware is known to, and loses packets on demand."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from firmware_bridge.devices import omi_glass
from tests.emulator.radio import Air, GattPeripheral


class OmiPeripheral(GattPeripheral):
    """`lose(try, chunk number)` says which photo chunks get lost; `silent` makes the camera not answer at all."""

    name = "Omi"
    address = "F1:00:00:00:00:01"
    services: ClassVar[dict[str, dict[str, str]]] = {
        omi_glass.SERVICE: {
            omi_glass.AUDIO: "NOTIFY",
            omi_glass.CODEC: "READ",
            omi_glass.PHOTO_DATA: "NOTIFY",
            omi_glass.PHOTO_CONTROL: "WRITE",
        },
        "23BA7924-0000-1000-7450-346EAC492E92": {omi_glass.BUTTON: "READ,NOTIFY"},
        "180F": {"2A19": "READ,NOTIFY"},
        "180A": {"2A24": "READ"},
    }

    def __init__(self, air: Air, *, model: str = "OMI Glass", codec_id: int = 0, jpeg: bytes = b"") -> None:
        super().__init__(air)
        self.values = {omi_glass.CODEC: bytes([codec_id]), "2A19": b"\x57", "2A24": model.encode()}
        self.values[omi_glass.BUTTON] = bytes(8)
        self.jpeg = jpeg
        self.lose: set[tuple[int, int]] = set()
        self.silent = False
        self.pause_s = 0.0
        self.photos_asked = 0
        self._counter = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def speak(self, frame: bytes, *, lose: bool = False) -> None:
        """One frame of sound, cut into packets of the MTU as the firmware does."""
        room = self.air.mtu - 3 - 3
        for part, start in enumerate(range(0, len(frame), room)):
            if not lose:
                header = self._counter.to_bytes(2, "little") + bytes([part])
                await self.notify(omi_glass.AUDIO, header + frame[start : start + room])
            self._counter = (self._counter + 1) % 0x10000

    def on_write(self, uuid: str, data: bytes) -> None:
        if uuid == omi_glass.PHOTO_CONTROL and data == b"\xff":  # int8 -1: one photograph
            self.photos_asked += 1
            if not self.silent:
                task = asyncio.get_running_loop().create_task(self._send_photo(self.photos_asked))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send_photo(self, asked: int) -> None:
        chunks = [b"\x01" + self.jpeg[:199]]  # turned by 90 degrees
        chunks += [self.jpeg[start : start + 200] for start in range(199, len(self.jpeg), 200)]
        for number, chunk in enumerate(chunks if self.jpeg else []):
            if (asked, number) not in self.lose:
                await self.notify(omi_glass.PHOTO_DATA, number.to_bytes(2, "little") + chunk)
            await asyncio.sleep(self.pause_s)
        await self.notify(omi_glass.PHOTO_DATA, b"\xff\xff")

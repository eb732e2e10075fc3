"""An emulated arm of an Even G1: it answers as the real one is known to, and refuses or stays silent on demand."""

from __future__ import annotations

import asyncio
import zlib
from typing import ClassVar

from firmware_bridge.devices import even_g1_wire as wire
from tests.emulator.radio import Air, GattPeripheral


class G1Arm(GattPeripheral):
    """`shown` is the text or BMP file in the lens; `commands` are all that were written, in order."""

    services: ClassVar[dict[str, dict[str, str]]] = {
        wire.SERVICE: {wire.WRITE: "WRITE,WRITE_WITHOUT_RESPONSE", wire.NOTIFY: "NOTIFY"}
    }

    def __init__(self, air: Air, side: str, log: list[tuple[str, int]]) -> None:
        self.side = side
        self.name = f"Even G1_17_{side}_D2F3A{'0' if side == 'L' else '1'}"
        self.address = f"F2:00:00:00:00:0{1 if side == 'L' else 2}"
        super().__init__(air)
        self.shown: str | bytes | None = None
        self.mic = False
        self.refuse: set[int] = set()
        self.deaf = False
        self.damage = False  # of a bitmap
        self._log = log
        self._text: dict[int, bytes] = {}
        self._bitmap = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()

    async def say(self, packet: bytes) -> None:
        await self.notify(wire.NOTIFY, packet)

    def on_drop(self) -> None:
        self.mic = False

    def on_write(self, uuid: str, data: bytes) -> None:
        self._log.append((self.side, data[0]))
        if self.deaf:
            return
        answer = self._answer(data)
        if answer is not None:
            if data[0] in self.refuse:
                answer = bytes((data[0], wire.FAILED))
            task = asyncio.get_running_loop().create_task(self.say(answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _answer(self, data: bytes) -> bytes | None:
        command = data[0]
        if command == 0x0E:
            self.mic = data[1] == 1
        elif command == 0x15:
            self._bitmap += data[6:] if data[1] == 0 else data[2:]
            return None
        longer = {0x4E: self._text_packet, 0x16: self._bitmap_check, 0x2C: self._battery, 0x25: bytes}
        return longer[command](data) if command in longer else bytes((command, wire.OK))

    def _battery(self, _: bytes) -> bytes:
        return bytes((0x2C, 0x66, 81 if self.side == "L" else 64))

    def _text_packet(self, data: bytes) -> bytes | None:
        total, current = data[2], data[3]
        self._text[current] = data[9:]
        if current != total - 1:
            return None
        self.shown = b"".join(self._text[i] for i in range(total)).decode()
        self._text.clear()
        return bytes((0x4E, wire.OK))

    def _bitmap_check(self, data: bytes) -> bytes:
        bmp = bytes(self._bitmap)
        self._bitmap.clear()
        if self.damage:
            bmp = bmp[:-1]
        right = zlib.crc32(bytes.fromhex("001C0000") + bmp).to_bytes(4, "big") == data[1:5]
        if right:
            self.shown = bmp
        return data[:5] + bytes((wire.OK if right else wire.FAILED,))

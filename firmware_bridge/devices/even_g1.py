"""Even Realities G1: a panel in each lens, a microphone in the right arm. Two peripherals, one device.

Text and bitmaps go to the left arm, and to the right one when the left has acknowledged. Bytes:
even_g1_wire.py.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import NoReturn

import numpy as np
from bleak.backends.device import BLEDevice
from numpy.typing import NDArray

from firmware_bridge.ble import SYSTEM, Backends, Peripheral
from firmware_bridge.codecs import Lc3Decoder
from firmware_bridge.devices import even_g1_wire as wire
from firmware_bridge.devices.device import Battery, Inbox, Message, Stream, Touch
from firmware_bridge.devices.sequence import Sequence
from firmware_bridge.errors import LinkError, Reason

HEARTBEAT_S = 5.0  # the vendor's application sends one every 8 s; the link is dropped after some 30 s without


class _Arm:
    """One arm: its link, and one question at a time."""

    def __init__(self, side: str, device: BLEDevice | str, backends: Backends) -> None:
        self.side = side
        self.name = f"{side} arm of {device if isinstance(device, str) else (device.name or device.address)}"
        self.device = device
        self.backends = backends
        self.peripheral = Peripheral(self.name)
        self._asking = asyncio.Lock()
        self._command = -1
        self._answer: asyncio.Future[wire.Reply] | None = None

    @property
    def up(self) -> bool:
        return self.peripheral.up

    def answered(self, reply: wire.Reply) -> bool:
        """Whether somebody waited for this reply."""
        if reply.command != self._command or self._answer is None or self._answer.done():
            return False
        self._answer.set_result(reply)
        return True

    async def ask(self, *packets: bytes, timeout_s: float = 3.0) -> wire.Reply:
        """Writes the packets and returns the answer to the last. Raises LinkError: CLOSED, TIMEOUT."""
        async with self._asking:
            for packet in packets[:-1]:
                await self.peripheral.write(wire.WRITE, packet)
            self._command, self._answer = packets[-1][0], asyncio.get_running_loop().create_future()
            try:
                await self.peripheral.write(wire.WRITE, packets[-1])
                return await self.peripheral.answer(self._answer, timeout_s, f"command {packets[-1][0]:02x}")
            finally:
                self._answer = None


class EvenG1:
    """A session with both arms. `inbox` gets sounds, gestures, battery levels and what was out of order.

    `connect` connects the arms that are down, so after the drop of one it leaves the other alone.
    """

    capabilities = wire.CAPABILITIES

    def __init__(
        self,
        left: BLEDevice | str,
        right: BLEDevice | str,
        *,
        backends: Backends = SYSTEM,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._left, self._right = _Arm("left", left, backends), _Arm("right", right, backends)
        self.name = f"Even G1 ({self._left.peripheral.name}, {self._right.peripheral.name})"
        self.inbox = Inbox()
        self._heartbeat_s = heartbeat_s
        self._down = asyncio.Event()
        self._wants_audio = False
        self._stream: Stream | None = None
        self._microphone = _mic_sequence()
        self._text_seq = 0
        self._beating: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Raises LinkError; what is connected by then stays so for the next try."""
        self._down.clear()
        right_was_up = self._right.up
        for arm in (self._left, self._right):
            if not arm.up:
                await self._connect_arm(arm)
        if self._wants_audio and not right_was_up:
            await self._listen()
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Ends the session."""
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
        for arm in (self._left, self._right):
            await arm.peripheral.close()

    async def wait_dropped(self) -> str:
        """Returns, saying which, when a link is down."""
        await self._down.wait()
        return " and ".join(f"the {arm.name} is down" for arm in (self._left, self._right) if not arm.up)

    async def battery(self) -> int:
        """Charge of the emptier arm in percent; the inbox gets both."""
        levels = [wire.battery_percent((await arm.ask(wire.ASK_BATTERY)).data) for arm in (self._left, self._right)]
        return min(levels)

    async def start_audio(self) -> None:
        """Sounds come to the inbox from now on, also after a reconnect. Raises LinkError NOT_AVAILABLE (no liblc3)."""
        if not self._wants_audio:
            await self._listen()
            self._wants_audio = True

    async def stop_audio(self) -> None:
        """Ends the stream of sound."""
        if self._wants_audio:
            self._wants_audio, self._stream = False, None
            (await self._right.ask(wire.MIC_OFF)).check(self._right.name)

    async def take_photo(self) -> NoReturn:
        """Raises LinkError NOT_SUPPORTED: the G1 has no camera."""
        raise self.capabilities.lacks("photo")

    async def show_text(self, text: str, *, page: int = 1) -> int:
        """Shows one page of five lines, counted from 1, in both lenses; returns how many pages there are."""
        pages = wire.text_pages(text)
        if not 1 <= page <= len(pages) <= 255:
            raise LinkError(Reason.BAD_INPUT, f"page {page} of {len(pages)}: from 1, and 255 at most")
        self._text_seq += 1
        await self._both(wire.text_packets(pages[page - 1], seq=self._text_seq, page=page, pages=len(pages)))
        return len(pages)

    async def show_bitmap(self, pixels: NDArray[np.uint8]) -> None:
        """Shows uint8 (136, 576) pixels, 0 dark, in both lenses. Raises LinkError REFUSED where one got it damaged."""
        bmp = wire.bmp_file(pixels)
        for arm in (self._left, self._right):
            (await arm.ask(*wire.bitmap_packets(bmp), wire.BITMAP_END)).check(arm.name)
            (await arm.ask(wire.bitmap_check(bmp))).check(arm.name)

    async def _both(self, packets: list[bytes]) -> None:
        for arm in (self._left, self._right):
            (await arm.ask(*packets)).check(arm.name)

    async def _connect_arm(self, arm: _Arm) -> None:
        arm.peripheral = await Peripheral.connect(arm.device, backends=arm.backends)
        arm.peripheral.on_drop = self._down.set
        try:
            await arm.peripheral.subscribe(wire.NOTIFY, lambda packet, t_ns: self._said(arm, packet, t_ns))
            await arm.peripheral.write(wire.WRITE, wire.HELLO)
        except LinkError:
            await arm.peripheral.close()
            raise

    async def _listen(self) -> None:
        self._stream = Stream(Lc3Decoder(16_000, wire.LC3_FRAME_BYTES), self.inbox)
        self._microphone = _mic_sequence()
        (await self._right.ask(wire.MIC_ON)).check(self._right.name)

    async def _beat(self) -> None:
        """Keeps both links alive; an arm that does not answer is given up, so that it is connected anew."""
        seq = 0
        while True:
            await asyncio.sleep(self._heartbeat_s)
            seq += 1
            for arm in (self._left, self._right):
                if arm.up:
                    try:
                        await arm.ask(wire.heartbeat(seq))
                    except LinkError as error:
                        self.inbox.put(Message(time.monotonic_ns(), str(error)))
                        await arm.peripheral.close()

    def _said(self, arm: _Arm, packet: bytes, t_ns: int) -> None:
        try:
            said = wire.parse(packet)
        except LinkError as error:
            self.inbox.put(Message(t_ns, str(error)))
            return
        if isinstance(said, wire.MicPacket):
            self._heard(said, t_ns)
        elif isinstance(said, wire.Gesture):
            event = Touch(t_ns, said.kind, arm.side) if said.kind else Message(t_ns, f"gesture {said.code:02x}")
            self.inbox.put(event)
        else:
            if said.command == wire.ASK_BATTERY[0]:
                with suppress(LinkError):  # battery() says so
                    self.inbox.put(Battery(t_ns, wire.battery_percent(said.data), arm.side))
            if not arm.answered(said) and said.command not in (wire.HELLO[0], 0x4E):
                self.inbox.put(Message(t_ns, f"{arm.name} said {said.data[:8].hex(' ')} unasked"))

    def _heard(self, packet: wire.MicPacket, t_ns: int) -> None:
        if self._stream is None:
            return
        lost = self._microphone.lost_before(packet.seq)
        if lost is not None:
            self._stream.frame(packet.lc3, t_ns, lost_before=lost)


def _mic_sequence() -> Sequence:
    """Packets of 100 ms."""
    return Sequence(8, late=8, most_lost=64)

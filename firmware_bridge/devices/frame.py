"""Brilliant Labs Frame and Halo: camera, microphone, display, taps. Bytes: frame_wire.py.

The glasses run Lua. `connect` puts frame_app.lua there if it is not there yet, starts it, and from then on both sides
exchange messages. The vendor's own packages are not used: brilliant-ble opens its BleakClient itself and knows neither
our deadlines nor our errors, brilliant-msg pins an older Pillow than the HUD needs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

import numpy as np
from bleak.backends.device import BLEDevice
from numpy.typing import NDArray

from firmware_bridge.ble import SYSTEM, Backends, Peripheral
from firmware_bridge.codecs import PcmDecoder
from firmware_bridge.devices import frame_wire as wire
from firmware_bridge.devices.device import Battery, Inbox, Message, Stream, Touch
from firmware_bridge.devices.photo import Camera, Deadlines, Photo
from firmware_bridge.devices.sequence import Sequence
from firmware_bridge.errors import LinkError, Reason

log = logging.getLogger(__name__)

_LUA_TIMEOUT_S = 5.0
_ACK_TIMEOUT_S = 5.0
_LEAD_S = 0.1
_BREAK_TRIES = 10  # Lua needs some tenths of a second until it listens again


class Frame:
    """A session with one Frame or Halo; `capabilities` tell which, once connected.

    `connect` may be called again after a drop, and then restores the sound stream.
    """

    def __init__(self, device: BLEDevice | str, *, backends: Backends = SYSTEM) -> None:
        self.name = device if isinstance(device, str) else (device.name or device.address)
        self.capabilities = wire.FRAME
        self.inbox = Inbox()
        self._device = device
        self._backends = backends
        self._peripheral = Peripheral(self.name)
        self._printed: asyncio.Queue[str] | None = None  # a queue while somebody waits for Lua to print
        self._last_printed = ""
        self._level: asyncio.Future[int] | None = None
        self._sending = asyncio.Lock()
        self._unacknowledged = 0
        self._refused = False
        self._acknowledged = asyncio.Event()
        self._wants_audio = self._speaking = False
        self._stream: Stream | None = None
        self._microphone = _mic_sequence()
        self._camera = self._new_camera()

    def _new_camera(self) -> Camera:
        turn_deg = wire.TURN_DEG[self.capabilities.product]
        assemble = partial(wire.assemble, turn_deg)
        return Camera(self.name, ask=self._ask_for_photo, assemble=assemble, is_last=wire.is_last)

    async def connect(self) -> None:
        """Connects, pairs, and starts the device's side, which the first time is uploaded. Raises LinkError."""
        if self._peripheral.up:
            return
        self._peripheral = await Peripheral.connect(self._device, pair=True, backends=self._backends)
        self._unacknowledged, self._refused, self._speaking = 0, False, False
        try:
            self.capabilities = wire.HALO if self._peripheral.has(wire.SPEAKER) else wire.FRAME
            self._camera = self._new_camera()
            self._peripheral.on_drop = self._camera.link_lost
            await self._peripheral.subscribe(wire.NOTIFY, self._notified)
            await self._start_app()
            if self._wants_audio:
                await self._listen()
        except LinkError:
            await self._peripheral.close()
            raise

    async def close(self) -> None:
        """Ends the session; the device's side is stopped if it can be."""
        if self._peripheral.up:
            try:
                await self._peripheral.write(wire.WRITE, wire.BREAK)
            except LinkError as error:
                log.debug("left running: %s", error)
        await self._peripheral.close()

    async def wait_dropped(self) -> str:
        """Returns, saying which, when a link is down."""
        await self._peripheral.dropped.wait()
        return f"the link to {self.name} is down"

    async def battery(self) -> int:
        """Charge in percent."""
        self._level = asyncio.get_running_loop().create_future()
        await self._message(wire.BATTERY, b"")
        return await self._peripheral.answer(self._level, _LUA_TIMEOUT_S, "battery")

    async def start_audio(self) -> None:
        """Sounds come to the inbox from now on, also after a reconnect."""
        if not self._wants_audio:
            await self._listen()
            self._wants_audio = True

    async def stop_audio(self) -> None:
        """Ends the stream of sound."""
        if self._wants_audio:
            self._wants_audio, self._stream = False, None
            await self._message(wire.MIC, b"\x00")

    async def take_photo(self, *, tries: int = 3, deadlines: Deadlines | None = None) -> Photo:
        """One photograph, 512 pixels square, on Halo 640 wide. Raises PhotoError."""
        return await self._camera.take(tries=tries, deadlines=deadlines)

    async def speak(self, pcm: NDArray[np.int16]) -> None:
        """Sound int16 (N,) at 16 kHz for Halo's speaker; returns when the link has taken it, at the speaker's pace.

        Nothing acknowledges these writes and what the glasses have no room for is lost, so no more than `_LEAD_S` is
        ever ahead. Raises LinkError NOT_SUPPORTED on Frame.
        """
        self.capabilities.require("speaker")
        if not self._speaking:
            await self._message(wire.SPEAKER_SWITCH, b"\x01")
            await self.battery()  # sound comes past Lua and would be lost before Lua has switched the speaker on
            self._speaking = True
        data = pcm.astype("<i2").tobytes()
        room = self._peripheral.max_write_bytes(wire.SPEAKER) & ~1
        started_s = time.monotonic()
        for start in range(0, len(data), room):
            ahead_s = start / 32_000 - (time.monotonic() - started_s)
            if ahead_s > _LEAD_S:
                await asyncio.sleep(ahead_s - _LEAD_S)
            await self._peripheral.write(wire.SPEAKER, data[start : start + room], response=False)

    async def stop_speaking(self) -> None:
        """Silences the speaker at once."""
        if self._speaking:
            self._speaking = False
            await self._message(wire.SPEAKER_SWITCH, b"\x00")

    async def show_text(self, text: str) -> None:
        """Shows lines of text, broken by the caller; an empty text clears the display."""
        await self._message(wire.TEXT, wire.text_message(text, self.capabilities.product))

    async def _ask_for_photo(self) -> None:
        await self._message(wire.PHOTO, wire.photo_message(self.capabilities.product))

    async def _listen(self) -> None:
        self._stream, self._microphone = Stream(PcmDecoder(16_000), self.inbox), _mic_sequence()
        await self._message(wire.MIC, b"\x01")

    async def _start_app(self) -> None:
        name, text = wire.app()
        self._printed = asyncio.Queue()
        try:
            await self._interrupt()
            there = f"local ok,f=pcall(frame.file.open,'{name}.lua','r');if ok then f:close() end;print(ok)"
            if await self._lua(there) != "true":
                for line in wire.upload_lines(name, text, self._peripheral.max_write_bytes(wire.WRITE)):
                    if (said := await self._lua(line, "1")) != "1":
                        raise LinkError(Reason.REFUSED, f"{self.name}: uploading its application: {said}")
            if (said := await self._lua(f"require('{name}')")) != wire.READY:
                raise LinkError(Reason.REFUSED, f"{self.name}: its application does not start: {said}")
        finally:
            self._printed = None

    async def _interrupt(self) -> None:
        """Stops what runs, until Lua echoes a word of ours; what was printed before is let go."""
        assert self._printed is not None
        for tried in range(_BREAK_TRIES):
            await self._peripheral.write(wire.WRITE, wire.BREAK)
            await self._peripheral.write(wire.WRITE, f"print('here {tried}')".encode())
            try:
                async with asyncio.timeout(0.5):
                    while await self._next_printed() != f"here {tried}":
                        pass
            except TimeoutError:
                continue
            return
        raise LinkError(Reason.TIMEOUT, f"{self.name}: Lua does not answer; restart the glasses")

    async def _lua(self, line: str, hoped_for: str = "") -> str:
        """Runs one line and returns what it prints, or its error; the answer before, come again, is let go."""
        before = self._last_printed
        await self._peripheral.write(wire.WRITE, line.encode())
        while True:
            said = await self._peripheral.answer(self._next_printed(), _LUA_TIMEOUT_S, f"Lua: {line[:40]}")
            if said != before or said == hoped_for:
                return said

    async def _next_printed(self) -> str:
        assert self._printed is not None
        self._last_printed = (await self._printed.get()).strip()
        return self._last_printed

    async def _message(self, code: int, payload: bytes) -> None:
        """Sends one message, and returns when all its packets are acknowledged.

        Frame takes one packet at a time. Halo takes as many as fit into its queue; what overflows is silently dropped,
        so no more is ever under way. A message cut short closes the link, as the device is out of step then.
        Raises LinkError.
        """
        async with self._sending:
            packets = wire.message_packets(code, payload, self._peripheral.max_write_bytes(wire.WRITE))
            halo = self.capabilities.product == "Halo"
            window = max(1, wire.HALO_QUEUE_BYTES // (len(packets[0]) + 2)) if halo else 1
            try:
                for packet in packets:
                    await self._unacknowledged_at_most(window - 1)
                    self._unacknowledged += 1
                    await self._peripheral.write(wire.WRITE, packet, response=not halo)
                await self._unacknowledged_at_most(0)
            except (LinkError, asyncio.CancelledError):
                await self._peripheral.close()
                raise

    async def _unacknowledged_at_most(self, count: int) -> None:
        while self._unacknowledged > count:
            self._acknowledged.clear()
            await self._peripheral.answer(self._acknowledged.wait(), _ACK_TIMEOUT_S, "a message")
            if self._refused:
                raise LinkError(Reason.REFUSED, f"{self.name}: its application failed to take a message")

    def _notified(self, value: bytes, t_ns: int) -> None:
        try:
            said = wire.parse(value)
        except LinkError as error:
            self.inbox.put(Message(t_ns, str(error)))
            return
        match said:
            case wire.Printed(text):
                if self._printed is not None:
                    self._printed.put_nowait(text)
                else:
                    self.inbox.put(Message(t_ns, text))
            case wire.Ack(ok):
                self._unacknowledged = max(0, self._unacknowledged - 1)
                self._refused = not ok
                self._acknowledged.set()
            case wire.SoundPacket(seq, pcm):
                self._heard(seq, pcm, t_ns)
            case wire.PhotoChunk(data):
                self._camera.feed(data)
            case wire.Gesture(kind):
                self.inbox.put(Touch(t_ns, kind))
            case wire.Level(percent):
                self.inbox.put(Battery(t_ns, percent))
                if self._level is not None and not self._level.done():
                    self._level.set_result(percent)

    def _heard(self, seq: int, pcm: bytes, t_ns: int) -> None:
        if self._stream is None:
            return
        lost = self._microphone.lost_before(seq)
        if lost is not None:
            self._stream.frame(pcm, t_ns, lost_before=lost)


def _mic_sequence() -> Sequence:
    """Packets of 7.5 ms."""
    return Sequence(8, late=64, most_lost=191)

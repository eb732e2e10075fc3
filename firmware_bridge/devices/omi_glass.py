"""Omi: the glasses (OMI Glass, OpenGlass: microphone and camera) and the pendant (microphone).

The layouts are vendor-stated, read in the firmware's sources: a photo chunk is u16 LE number, payload, the first one's
payload begins with the orientation (firmware 2.1.1 and later), and FFFF ends it. Nothing is sent again: a photo with a
gap is dropped and asked for again. The button of those that have one notifies u32 LE: what was done, and a second that
says nothing. Sound: omi_audio.py.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import NoReturn

from bleak.backends.device import BLEDevice

from firmware_bridge.ble import SYSTEM, Backends, Peripheral
from firmware_bridge.devices.device import Battery, Capabilities, Inbox, Message, Touch
from firmware_bridge.devices.omi_audio import AudioFramer, AudioReceiver, Heard, audio_format
from firmware_bridge.devices.photo import (
    MAX_PHOTO_BYTES,
    Assembled,
    Assembler,
    Camera,
    Deadlines,
    Photo,
    PhotoError,
    PhotoFailure,
)
from firmware_bridge.errors import LinkError, Reason

__all__ = ["AudioFramer", "Heard", "OmiGlass", "assemble", "audio_format", "battery_percent", "is_last", "pressed"]

SERVICE = "19b10000-e8f2-537e-4f6c-d104768a1214"
AUDIO = "19b10001-e8f2-537e-4f6c-d104768a1214"
CODEC = "19b10002-e8f2-537e-4f6c-d104768a1214"
PHOTO_DATA = "19b10005-e8f2-537e-4f6c-d104768a1214"
PHOTO_CONTROL = "19b10006-e8f2-537e-4f6c-d104768a1214"
BATTERY = "00002a19-0000-1000-8000-00805f9b34fb"
BUTTON = "23ba7925-0000-1000-7450-346eac492e92"  # of a service of its own, 23ba7924
MODEL = "00002a24-0000-1000-8000-00805f9b34fb"
GLASSES_MODELS = ("omi glass", "openglass")  # 0010-0012 mean other things on either, so the model string decides

PENDANT = Capabilities("Omi", frozenset({"microphone", "battery"}), mic_rate_hz=16_000)
GLASS = replace(PENDANT, product="OMI Glass", abilities=PENDANT.abilities | {"photo"})
UNKNOWN = Capabilities("Omi, not connected yet", frozenset())

_PHOTO_HEADER = struct.Struct("<H")
_PHOTO_END = 0xFFFF
_BUTTON = struct.Struct("<I")
_PRESSES = {1: "tap", 2: "double_tap", 3: "long_press", 4: "press", 5: "release"}  # 0: nothing happened
_ONE_PHOTO = struct.pack("b", -1)


def assemble() -> Assembler:
    """One photograph from its chunks."""
    chunks: list[bytes] = []
    jpeg, turn_deg = bytearray(), None
    while True:
        chunk = yield
        if len(chunk) < _PHOTO_HEADER.size:
            raise PhotoError(PhotoFailure.GAP, "next chunk", f"OMI Glass: a photo chunk of {len(chunk)} bytes")
        (number,) = _PHOTO_HEADER.unpack_from(chunk)
        payload = chunk[_PHOTO_HEADER.size :]
        if is_last(chunk):
            if not chunks:
                raise PhotoError(PhotoFailure.CAPTURE, "first chunk", "OMI Glass: the camera gave no picture")
            return Assembled(bytes(jpeg), turn_deg)
        if number < len(chunks) and payload == chunks[number]:
            continue  # it came already
        if number != len(chunks):
            raise PhotoError(
                PhotoFailure.GAP, "next chunk", f"OMI Glass: photo chunk {len(chunks)} is missing ({number} came)"
            )
        chunks.append(payload)
        if number == 0 and payload[:2] != b"\xff\xd8" and payload:  # a JPEG's first bytes; else the orientation
            turn_deg, payload = payload[0] % 4 * 90, payload[1:]
        jpeg += payload
        if len(jpeg) > MAX_PHOTO_BYTES:
            raise PhotoError(PhotoFailure.CAPTURE, "next chunk", f"OMI Glass: a photo over {MAX_PHOTO_BYTES} bytes")


def pressed(value: bytes) -> str | None:
    """What the button says was done, None for nothing. Raises LinkError CORRUPT."""
    code = _BUTTON.unpack_from(value)[0] if len(value) >= _BUTTON.size else None
    if code is None or code > max(_PRESSES):
        raise LinkError(Reason.CORRUPT, f"Omi's button said {value[:8].hex(' ') or 'nothing'}")
    return _PRESSES.get(code)


def battery_percent(value: bytes) -> int:
    """The value of the battery characteristic. Raises LinkError CORRUPT where it is no percentage."""
    if not value or value[0] > 100:
        raise LinkError(Reason.CORRUPT, f"Omi: no battery level: {value[:8].hex(' ') or 'nothing'}")
    return value[0]


def is_last(chunk: bytes) -> bool:
    """Whether the chunk ends a photograph."""
    return chunk[:2] == b"\xff\xff"


class OmiGlass:
    """A session with one Omi. `capabilities` are known once connected; `inbox` gets sounds and battery levels.

    `connect` may be called again after a drop, and then restores the sound stream.
    """

    def __init__(self, device: BLEDevice | str, *, backends: Backends = SYSTEM) -> None:
        self.name = device if isinstance(device, str) else (device.name or device.address)
        self.capabilities = UNKNOWN
        self.inbox = Inbox()
        self._device = device
        self._backends = backends
        self._peripheral = Peripheral(self.name)
        self._wants_audio = False
        self._receiver: AudioReceiver | None = None
        self._camera = Camera(self.name, ask=self._ask_for_photo, assemble=assemble, is_last=is_last)

    async def connect(self) -> None:
        """Connects and finds out which product it is. Raises LinkError."""
        if self._peripheral.up:
            return
        self._peripheral = await Peripheral.connect(self._device, backends=self._backends)
        self._peripheral.on_drop = self._camera.link_lost
        try:
            model = (await self._peripheral.read(MODEL)).decode(errors="replace")
            self.capabilities = GLASS if model.casefold().startswith(GLASSES_MODELS) else PENDANT
            await self._peripheral.subscribe(BATTERY, self._on_battery)
            if self._peripheral.has(BUTTON):
                self.capabilities = replace(self.capabilities, abilities=self.capabilities.abilities | {"touch"})
                await self._peripheral.subscribe(BUTTON, self._on_button)
            if "photo" in self.capabilities.abilities:
                await self._peripheral.subscribe(PHOTO_DATA, lambda chunk, _: self._camera.feed(chunk))
            if self._wants_audio:
                await self._listen()
        except LinkError:
            await self._peripheral.close()
            raise

    async def close(self) -> None:
        """Ends the session."""
        self._stop_receiving()
        await self._peripheral.close()

    async def wait_dropped(self) -> str:
        """Returns, saying which, when a link is down."""
        await self._peripheral.dropped.wait()
        return f"the link to {self.name} is down"

    async def battery(self) -> int:
        """Charge in percent."""
        self.capabilities.require("battery")
        return battery_percent(await self._peripheral.read(BATTERY))

    async def start_audio(self) -> None:
        """Sounds come to the inbox from now on, also after a reconnect."""
        self.capabilities.require("microphone")
        if not self._wants_audio:
            await self._listen()
            self._wants_audio = True

    async def stop_audio(self) -> None:
        """Ends the stream of sound."""
        if self._wants_audio:
            self._wants_audio = False
            self._stop_receiving()
            await self._peripheral.unsubscribe(AUDIO)

    async def take_photo(self, *, tries: int = 3, deadlines: Deadlines | None = None) -> Photo:
        """One photograph. Raises PhotoError, and LinkError NOT_SUPPORTED on the pendant."""
        self.capabilities.require("photo")
        return await self._camera.take(tries=tries, deadlines=deadlines)

    async def show_text(self, text: str) -> NoReturn:
        """Raises LinkError NOT_SUPPORTED: no Omi has a display."""
        raise self.capabilities.lacks("text")

    async def _ask_for_photo(self) -> None:
        await self._peripheral.write(PHOTO_CONTROL, _ONE_PHOTO)

    async def _listen(self) -> None:
        self._stop_receiving()
        self._receiver = AudioReceiver(await self._peripheral.read(CODEC), self.inbox)
        await self._peripheral.subscribe(AUDIO, self._receiver.receive)

    def _stop_receiving(self) -> None:
        if self._receiver is not None:
            self._receiver.close()

    def _on_battery(self, value: bytes, t_ns: int) -> None:
        try:
            self.inbox.put(Battery(t_ns, battery_percent(value)))
        except LinkError as error:
            self.inbox.put(Message(t_ns, str(error)))

    def _on_button(self, value: bytes, t_ns: int) -> None:
        try:
            kind = pressed(value)
        except LinkError as error:
            self.inbox.put(Message(t_ns, str(error)))
            return
        if kind is not None:
            self.inbox.put(Touch(t_ns, kind))

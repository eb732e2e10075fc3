"""Omi: the glasses (OMI Glass, OpenGlass: microphone and camera) and the pendant (microphone).

The layouts are vendor-stated, read in the firmware's sources: a sound packet is u16 LE counter, u8 part of a frame,
payload; a photo chunk is u16 LE number, payload, the first one's payload begins with the orientation (firmware 2.1.1
and later), and FFFF ends it. Nothing is sent twice: a photo with a gap is dropped and asked for again. The button of
those that have one notifies u32 LE: what was done, and a second that says nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NoReturn

from bleak.backends.device import BLEDevice

from firmware_bridge.ble import SYSTEM, Backends, Peripheral
from firmware_bridge.codecs import Decoder, OpusDecoder, PcmDecoder
from firmware_bridge.devices.device import Battery, Capabilities, Inbox, Message, Stream, Touch
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

_AUDIO_HEADER = struct.Struct("<HB")
_PHOTO_HEADER = struct.Struct("<H")
_PHOTO_END = 0xFFFF
_BUTTON = struct.Struct("<I")
_PRESSES = {1: "tap", 2: "double_tap", 3: "long_press", 4: "press", 5: "release"}  # 0: nothing happened
_ONE_PHOTO = struct.pack("b", -1)


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What a codec id means."""

    codec: Literal["pcm16", "mu_law", "opus"]
    rate_hz: int


AUDIO_FORMATS = {
    0: AudioFormat("pcm16", 16_000),
    1: AudioFormat("pcm16", 8_000),
    10: AudioFormat("mu_law", 16_000),
    11: AudioFormat("mu_law", 8_000),
    20: AudioFormat("opus", 16_000),
    21: AudioFormat("opus", 16_000),  # frames of 320 samples, which an Opus packet says itself
}


def audio_format(codec_id: bytes) -> AudioFormat:
    """The format of the value of the codec characteristic. Raises LinkError WRONG_PROTOCOL for an id not known here."""
    found = AUDIO_FORMATS.get(codec_id[0]) if codec_id else None
    if found is None:
        raise LinkError(Reason.WRONG_PROTOCOL, f"unknown Omi sound codec {codec_id.hex() or 'none'}: a newer firmware?")
    return found


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole frame of sound, and how many frames before it were lost."""

    lost: int
    frame: bytes


class AudioFramer:
    """Packets to frames. A frame longer than one packet goes on in parts 1, 2, ...; the next part 0 ends it.

    A packet that is not full ends its frame at once, so no frame waits for its successor.
    """

    def __init__(self, max_payload_bytes: int) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._next: int | None = None
        self._parts: list[bytes] | None = None  # None: the beginning of this frame was lost
        self._parts_a_frame = 1
        self._lost = 0

    def feed(self, packet: bytes) -> list[Heard]:
        """The frames that `packet` completes. Raises LinkError CORRUPT for a packet without payload."""
        if len(packet) <= _AUDIO_HEADER.size:
            raise LinkError(Reason.CORRUPT, f"a sound packet of {len(packet)} bytes")
        counter, part = _AUDIO_HEADER.unpack_from(packet)
        payload = packet[_AUDIO_HEADER.size :]
        gap = 0 if self._next is None else (counter - self._next) % 0x10000
        if gap > 0x8000:  # an old one again
            return []
        self._next = (counter + 1) % 0x10000
        out: list[Heard] = []
        if gap:
            self._lost += -(-(gap + len(self._parts or ())) // self._parts_a_frame)
            self._parts = None
        if part == 0:
            out += self._finish()
            self._parts = [payload]
        elif self._parts is not None:
            self._parts.append(payload)
        if self._parts is not None and len(payload) < self._max_payload_bytes:
            out += self._finish()
        return out

    def _finish(self) -> list[Heard]:
        if not self._parts:
            return []
        heard = Heard(self._lost, b"".join(self._parts))
        self._parts_a_frame = len(self._parts)
        self._parts, self._lost = [], 0
        return [heard]


def assemble() -> Assembler:
    """One photograph from its chunks."""
    jpeg, turn_deg = bytearray(), None
    expected = 0
    while True:
        chunk = yield
        if len(chunk) < _PHOTO_HEADER.size:
            raise PhotoError(PhotoFailure.GAP, "next chunk", f"OMI Glass: a photo chunk of {len(chunk)} bytes")
        (number,) = _PHOTO_HEADER.unpack_from(chunk)
        payload = chunk[_PHOTO_HEADER.size :]
        if is_last(chunk):
            if not expected:
                raise PhotoError(PhotoFailure.CAPTURE, "first chunk", "OMI Glass: the camera gave no picture")
            return Assembled(bytes(jpeg), turn_deg)
        if number != expected:
            raise PhotoError(
                PhotoFailure.GAP, "next chunk", f"OMI Glass: photo chunk {expected} is missing ({number} came)"
            )
        if number == 0 and payload[:2] != b"\xff\xd8" and payload:  # a JPEG's first bytes; else the orientation
            turn_deg, payload = payload[0] % 4 * 90, payload[1:]
        jpeg += payload
        expected += 1
        if len(jpeg) > MAX_PHOTO_BYTES:
            raise PhotoError(PhotoFailure.CAPTURE, "next chunk", f"OMI Glass: a photo over {MAX_PHOTO_BYTES} bytes")


def pressed(value: bytes) -> str | None:
    """What the button says was done, None for nothing. Raises LinkError CORRUPT."""
    code = _BUTTON.unpack_from(value)[0] if len(value) >= _BUTTON.size else None
    if code is None or code > max(_PRESSES):
        raise LinkError(Reason.CORRUPT, f"Omi's button said {value[:8].hex(' ') or 'nothing'}")
    return _PRESSES.get(code)


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
        await self._peripheral.close()

    async def wait_dropped(self) -> str:
        """Returns, saying which, when a link is down."""
        await self._peripheral.dropped.wait()
        return f"the link to {self.name} is down"

    async def battery(self) -> int:
        """Charge in percent."""
        self.capabilities.require("battery")
        return (await self._peripheral.read(BATTERY))[0]

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
        stream = Stream(_decoder(audio_format(await self._peripheral.read(CODEC))), self.inbox)
        # A notification carries as much as a write: both are the MTU less 3 (Core, Vol 3 Part F, 3.4.5 and 3.4.7).
        framer = AudioFramer(self._peripheral.max_write_bytes(AUDIO) - _AUDIO_HEADER.size)
        await self._peripheral.subscribe(AUDIO, partial(_on_audio, framer, stream, self.inbox))

    def _on_battery(self, value: bytes, t_ns: int) -> None:
        if value:
            self.inbox.put(Battery(t_ns, value[0]))

    def _on_button(self, value: bytes, t_ns: int) -> None:
        try:
            kind = pressed(value)
        except LinkError as error:
            self.inbox.put(Message(t_ns, str(error)))
            return
        if kind is not None:
            self.inbox.put(Touch(t_ns, kind))


def _decoder(wanted: AudioFormat) -> Decoder:
    if wanted.codec == "opus":
        return OpusDecoder(wanted.rate_hz)
    return PcmDecoder(wanted.rate_hz, mu_law=wanted.codec == "mu_law")


def _on_audio(framer: AudioFramer, stream: Stream, inbox: Inbox, packet: bytes, t_ns: int) -> None:
    try:
        heard = framer.feed(packet)
    except LinkError as error:
        inbox.put(Message(t_ns, str(error)))
        return
    for one in heard:
        stream.frame(one.frame, t_ns, lost_before=one.lost)

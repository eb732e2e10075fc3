"""The bytes of Brilliant Labs Frame and Halo, and of the Lua program that runs on them, both ways.

Layouts are vendor-stated (Brilliant's brilliant-ble and brilliant-msg). frame_app.lua adds a
sequence number to each packet of sound and the size of a photograph to its last packet, because nothing else would
show a loss.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files

from firmware_bridge.devices import display_text
from firmware_bridge.devices.device import Ability, Capabilities, Panel
from firmware_bridge.devices.photo import (
    MAX_PHOTO_BYTES,
    MAX_PHOTO_CHUNKS,
    Assembled,
    Assembler,
    PhotoError,
    PhotoFailure,
)
from firmware_bridge.errors import LinkError, Reason

SERVICE = "7a230001-5475-a6a4-654c-8431f6ad49c4"
WRITE = "7a230002-5475-a6a4-654c-8431f6ad49c4"
NOTIFY = "7a230003-5475-a6a4-654c-8431f6ad49c4"
SPEAKER = "7a230005-5475-a6a4-654c-8431f6ad49c4"  # only Halo has it, which tells them apart

_ABILITIES: frozenset[Ability] = frozenset({"microphone", "photo", "text", "touch", "battery"})
FRAME = Capabilities("Frame", _ABILITIES, panel=Panel(640, 400, 16), mic_rate_hz=16_000, max_text_bytes=1024)
HALO = replace(FRAME, product="Halo", abilities=_ABILITIES | {"speaker"}, panel=Panel(256, 256, 256))
PHOTO_SIDE = {"Frame": 512, "Halo": 640}  # pixels; Frame takes even ones from 100 to 720, Halo no other
TURN_DEG = {"Frame": 270, "Halo": None}  # Frame's sensor is mounted turned; of Halo's nothing is stated
LINE_HEIGHT = {"Frame": 60, "Halo": 16}  # Frame's font is 48 pixels high, Halo's 8

BREAK, RESET = b"\x03", b"\x04"
DATA = b"\x01"
MAX_MESSAGE_BYTES = 65_535
HALO_QUEUE_BYTES = 4096  # and what overflows it is dropped without a word
TEXT, PHOTO, MIC, BATTERY, SPEAKER_SWITCH = 0x20, 0x21, 0x22, 0x23, 0x24
READY = "glasses app ready"

_ACK_OK, _ACK_FAILED = b"\x01\x00\x00", b"\x01\x00\x01"
_SOUND, _SOUND_END, _IMAGE, _IMAGE_END, _TAP, _CLICK, _LEVEL, _TROUBLE = (
    *(0x05, 0x06, 0x07, 0x08),
    *(0x09, 0x0B, 0x0C, 0x0E),
)
_TAPS = {0: "tap", 1: "tap", 2: "double_tap", 3: "triple_tap"}
_CLICKS = {1: "click", 2: "double_click", 3: "long_click"}
_BUSY = 1


def message_packets(code: int, payload: bytes, max_write_bytes: int) -> list[bytes]:
    """`01 code size(2, BE) data`, then `01 code data` until all is sent. Raises LinkError TOO_LARGE over 65,535."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise LinkError(Reason.TOO_LARGE, f"{len(payload)} bytes in one message; Frame takes {MAX_MESSAGE_BYTES}")
    first = max_write_bytes - 4
    packets = [DATA + struct.pack(">BH", code, len(payload)) + payload[:first]]
    step = max_write_bytes - 2
    packets += [DATA + bytes((code,)) + payload[at : at + step] for at in range(first, len(payload), step)]
    return packets


def text_message(text: str, product: str) -> bytes:
    """Line height and lines, in the characters of Frame's font. Raises LinkError TOO_LARGE over 1,024 bytes."""
    data = display_text.in_font(display_text.clean(text), _is_drawn).encode()
    if len(data) > FRAME.max_text_bytes:
        raise LinkError(Reason.TOO_LARGE, f"a text of {len(data)} bytes; {product} takes {FRAME.max_text_bytes}")
    return bytes((LINE_HEIGHT[product],)) + data


def _is_drawn(char: str) -> bool:
    """Whether Frame's font has it: ASCII and Latin-1 (the vendor's graphical_assets). Of Halo's nothing is stated."""
    return char == "\n" or " " <= char <= "~" or ("\xa1" <= char <= "\xff" and char != "\xad")


def photo_message(product: str, *, quality: int = 4) -> bytes:
    """Quality 0 to 4 (the best) and the edge in pixels."""
    if not 0 <= quality <= 4:
        raise LinkError(Reason.BAD_INPUT, f"quality {quality}: from 0 to 4")
    return struct.pack(">BH", quality, PHOTO_SIDE[product])


@dataclass(frozen=True, slots=True)
class Printed:
    """What Lua printed, or its error."""

    text: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The device took one packet, or failed to."""

    ok: bool


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """PCM16 at 16 kHz; `seq` counts packets modulo 256."""

    seq: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Level:
    """Battery in percent."""

    percent: int


@dataclass(frozen=True, slots=True)
class Gesture:
    """A tap on the frame or a click of the button."""

    kind: str


@dataclass(frozen=True, slots=True)
class PhotoChunk:
    """Part of a photograph with its flag, or why there is none; for `assemble`."""

    data: bytes


Said = Printed | Ack | SoundPacket | Level | Gesture | PhotoChunk | None


def parse(value: bytes) -> Said:
    """What the device said; None for what needs no attention. Raises LinkError CORRUPT."""
    if value[:1] != DATA:
        return Printed(value.decode(errors="replace"))
    data = value[1:]
    if data in (_ACK_OK, _ACK_FAILED):
        return Ack(data == _ACK_OK)
    try:
        return _SAID[data[0]](data)
    except LookupError as error:  # an unknown flag, or too short
        raise LinkError(
            Reason.CORRUPT, f"Frame said {value[:16].hex(' ')}, which its application never says"
        ) from error


def _sound(data: bytes) -> SoundPacket:
    if len(data) % 2:
        raise LinkError(Reason.CORRUPT, f"Frame: {len(data) - 2} bytes of 16-bit sound")
    return SoundPacket(data[1], data[2:])


def _level(data: bytes) -> Level:
    if data[1] > 100:
        raise LinkError(Reason.CORRUPT, f"Frame: a battery at {data[1]} percent")
    return Level(data[1])


_SAID: dict[int, Callable[[bytes], Said]] = {
    _SOUND: _sound,
    _SOUND_END: lambda _: None,
    **dict.fromkeys((_IMAGE, _IMAGE_END, _TROUBLE), PhotoChunk),
    _LEVEL: _level,
    _TAP: lambda data: Gesture(_TAPS.get(data[1] if len(data) > 1 else 0, "tap")),  # Frame's own has no kind
    _CLICK: lambda data: Gesture(_CLICKS.get(data[1], "click")),
}


def assemble(turn_deg: int | None) -> Assembler:
    """One photograph from its chunks: `07 data` ..., `08 size(4, BE)`.

    The size says whether all came once, or some came again, as they do where a peer is subscribed to twice.
    """
    chunks: list[bytes] = []
    n_bytes = 0
    while True:
        chunk = yield
        flag, data = chunk[0], chunk[1:]
        if flag == _TROUBLE:
            failure = PhotoFailure.BUSY if data[:1] == bytes((_BUSY,)) else PhotoFailure.CAPTURE
            raise PhotoError(failure, "first chunk", f"Frame: {data[1:].decode(errors='replace')}")
        if flag == _IMAGE_END:
            size = int.from_bytes(data, "big") if len(data) == 4 else -1
            for jpeg in (b"".join(chunks), b"".join(dict.fromkeys(chunks))):
                if len(jpeg) == size:
                    return Assembled(jpeg, turn_deg)
            raise PhotoError(PhotoFailure.GAP, "whole", f"Frame: {n_bytes} of {size} bytes of the photo came")
        chunks.append(data)
        n_bytes += len(data)
        if n_bytes > MAX_PHOTO_BYTES or len(chunks) > MAX_PHOTO_CHUNKS:
            raise PhotoError(PhotoFailure.CAPTURE, "next chunk", f"Frame: a photo over {MAX_PHOTO_BYTES} bytes")


def is_last(chunk: bytes) -> bool:
    """Whether the chunk ends a photograph."""
    return chunk[0] in (_IMAGE_END, _TROUBLE)


def app() -> tuple[str, str]:
    """The name, which changes with the content, and the Lua text of the device's side, without comments."""
    lines = files("firmware_bridge.devices").joinpath("frame_app.lua").read_text(encoding="utf-8").splitlines()
    text = "\n".join(kept for line in lines if (kept := line.split(" -- ")[0].strip()) and not kept.startswith("--"))
    return f"glasses_{hashlib.sha256(text.encode()).hexdigest()[:8]}", text


def upload_lines(name: str, text: str, max_write_bytes: int) -> list[str]:
    """Lua lines that write NAME.lua by way of another name, so that half a file is never run; each prints 1.

    Raises LinkError TOO_LARGE where one of them does not fit into a write.
    """
    lines = ["f=frame.file.open('glasses.part','w');print(1)"]
    last = f"frame.file.rename('glasses.part','{name}.lua');print(1)"
    if max_write_bytes < len(last):
        raise LinkError(
            Reason.TOO_LARGE,
            f"the link carries {max_write_bytes} bytes in one write, the application's upload needs {len(last)}: "
            "connect again, or with another Bluetooth adapter",
        )
    room = max_write_bytes - len("f:write('');print(1)")
    piece = ""
    for escaped in map(_escaped, text):
        if len((piece + escaped).encode()) > room:
            lines.append(f"f:write('{piece}');print(1)")
            piece = ""
        piece += escaped
    lines += [f"f:write('{piece}');print(1)", "f:close();print(1)"]
    return [*lines, last]


def _escaped(character: str) -> str:
    return {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"}.get(character, character)

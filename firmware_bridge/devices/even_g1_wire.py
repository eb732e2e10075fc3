"""The bytes of the Even Realities G1, both ways. Text comes in as lines that fit the panel.

All layouts are vendor-stated, read in the vendor's demo application.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.devices import display_text
from firmware_bridge.devices.device import Capabilities, Panel
from firmware_bridge.errors import LinkError, Reason

SERVICE = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
WRITE = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
NOTIFY = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
ARM_NAME = re.compile(r"(?i)^(even g1.*)_([lr])_(.*)$")  # "Even G1_17_L_D2F3A4"
LINES_A_PAGE = 5

CAPABILITIES = Capabilities(
    "Even G1",
    frozenset({"microphone", "text", "bitmap", "touch", "battery"}),
    links=2,
    panel=Panel(576, 136, 2),
    mic_rate_hz=16_000,
    max_text_bytes=255 * 191,
)

OK, CONTINUE, FAILED = 0xC9, 0xCB, 0xCA
HELLO = bytes.fromhex("4D 01")
MIC_ON, MIC_OFF = bytes.fromhex("0E 01"), bytes.fromhex("0E 00")
ASK_BATTERY = bytes.fromhex("2C 01")
BITMAP_END = bytes.fromhex("20 0D 0E")
_BITMAP_ADDRESS = bytes.fromhex("00 1C 00 00")
_TEXT_BYTES, _BITMAP_BYTES = 191, 194  # a packet
_SHOW_NEW_TEXT = 0x71
LC3_FRAME_BYTES, _FRAMES_A_PACKET = 20, 10
_TOUCHES = {
    **{0x00: "double_tap", 0x01: "tap", 0x02: "head_up", 0x03: "head_down"},
    **{0x17: "assistant_start", 0x18: "assistant_stop"},
}


def text_packets(page_text: str, *, seq: int, page: int = 1, pages: int = 1) -> list[bytes]:
    """`4E seq total current status position(2) page pages data` for one page, counted from 1.

    Raises LinkError TOO_LARGE over 255 packets.
    """
    parts = display_text.pieces(display_text.clean(page_text), _TEXT_BYTES)
    if len(parts) > 255:
        n_bytes = sum(map(len, parts))
        raise LinkError(Reason.TOO_LARGE, f"a page of {n_bytes} bytes; the G1 takes {CAPABILITIES.max_text_bytes}")
    header = (0x4E, seq & 0xFF, len(parts))
    return [bytes((*header, i, _SHOW_NEW_TEXT, 0, 0, page, pages)) + part for i, part in enumerate(parts)]


def bitmap_packets(bmp: bytes) -> list[bytes]:
    """`15 seq` and 194 bytes of the BMP file each; the first one also has the address in between."""
    starts = range(0, len(bmp), _BITMAP_BYTES)
    return [
        bytes((0x15, i & 0xFF)) + (b"" if i else _BITMAP_ADDRESS) + bmp[start : start + _BITMAP_BYTES]
        for i, start in enumerate(starts)
    ]


def bitmap_check(bmp: bytes) -> bytes:
    """`16` and the CRC-32 of address and BMP file, big-endian."""
    return b"\x16" + struct.pack(">I", zlib.crc32(_BITMAP_ADDRESS + bmp))


def bmp_file(pixels: NDArray[np.uint8]) -> bytes:
    """A 1-bit BMP of uint8 (136, 576) pixels, 0 dark, everything else lit. Raises LinkError BAD_INPUT for other shapes.

    BITMAPFILEHEADER, BITMAPINFOHEADER, two colours, then rows from the bottom up; 72 bytes a row need no padding.
    """
    panel = CAPABILITIES.panel
    assert panel
    if pixels.shape != (panel.height, panel.width):
        raise LinkError(Reason.BAD_INPUT, f"the G1 shows {panel.height} rows of {panel.width}, not {pixels.shape}")
    rows = np.packbits(pixels[::-1] != 0, axis=1).tobytes()
    offset = 14 + 40 + 8
    info = struct.pack("<IiiHHIIiiII", 40, panel.width, panel.height, 1, 1, 0, len(rows), 2835, 2835, 2, 2)
    return struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + info + bytes(4) + b"\xff\xff\xff\0" + rows


def heartbeat(seq: int) -> bytes:
    """`25 06 seq 00 04 seq`."""
    return bytes((0x25, 0x06, seq & 0xFF, 0x00, 0x04, seq & 0xFF))


@dataclass(frozen=True, slots=True)
class MicPacket:
    """`F1 seq` and whole frames of 10 ms, ten of them in today's firmware."""

    seq: int
    lc3: bytes


@dataclass(frozen=True, slots=True)
class Gesture:
    """`F5 kind`; `kind` is None for what this software does not know."""

    kind: str | None
    code: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a command; `data` is all of it."""

    command: int
    data: bytes

    def check(self, who: str) -> None:
        """Raises LinkError REFUSED unless it says ok; the verdict on a bitmap's CRC follows the CRC."""
        said = self.data[-1] if self.command == 0x16 else self.data[1]
        if said not in (OK, CONTINUE):
            raise LinkError(Reason.REFUSED, f"{who} refused command {self.command:02x}: {self.data.hex(' ')}")


def parse(packet: bytes) -> MicPacket | Gesture | Reply:
    """What an arm said. Raises LinkError CORRUPT."""
    if len(packet) < 2:
        raise LinkError(Reason.CORRUPT, f"Even G1: a packet of {len(packet)} bytes")
    if packet[0] == 0xF1:
        lc3 = packet[2 : 2 + LC3_FRAME_BYTES * _FRAMES_A_PACKET]  # what follows is of a firmware to come
        if not lc3 or len(lc3) % LC3_FRAME_BYTES:
            raise LinkError(Reason.CORRUPT, f"Even G1: a packet of sound of {len(packet)} bytes")
        return MicPacket(packet[1], lc3)
    if packet[0] == 0xF5:
        return Gesture(_TOUCHES.get(packet[1]), packet[1])
    return Reply(packet[0], packet)


def battery_percent(reply: bytes) -> int:
    """`2C 66 percent`. Raises LinkError CORRUPT."""
    if len(reply) < 3 or reply[:2] != b"\x2c\x66" or reply[2] > 100:
        raise LinkError(Reason.CORRUPT, f"Even G1: no battery level: {reply.hex(' ')}")
    return reply[2]


def text_pages(text: str) -> list[str]:
    """Pages of five lines, cleaned."""
    lines = display_text.clean(text).split("\n")
    return ["\n".join(lines[start : start + LINES_A_PAGE]) for start in range(0, len(lines), LINES_A_PAGE)]


def pair(names: Iterable[str]) -> list[tuple[str, str]]:
    """The (left, right) names among advertised ones that belong together: the two arms of one number.

    An arm without its other half is left out, and so are all of a number that has two arms of one side.
    """
    arms: dict[str, dict[str, list[str]]] = {}
    for name in names:
        if match := ARM_NAME.match(name):
            arms.setdefault(match[1].casefold(), {"l": [], "r": []})[match[2].casefold()].append(name)
    return [(sides["l"][0], sides["r"][0]) for sides in arms.values() if len(sides["l"]) == len(sides["r"]) == 1]


def why_alone(name: str, names: Iterable[str]) -> str:
    """Why the arm `name` has no pair among advertised names, and what to do."""
    mine = ARM_NAME.match(name)
    others = [match for other in names if (match := ARM_NAME.match(other))]
    of_number = [other for other in others if mine and other[1].casefold() == mine[1].casefold()]
    if len(of_number) > 2 or (mine and sum(other[2].casefold() == mine[2].casefold() for other in of_number) > 1):
        return f"{len(of_number)} arms of {of_number[0][1]} are in reach: put all but one pair into their case"
    return "the other arm is not in reach: take both out of the case"

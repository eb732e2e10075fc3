"""Frames on a byte stream: each is COBS(body + CRC-32) and a zero byte.

COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1997. CRC-32: IEEE 802.3, as zlib computes it.
"""

from __future__ import annotations

import zlib

from cobs import cobs

from firmware_bridge.protocol import MAX_BODY

_CRC_BYTES = 4
MAX_ENCODED = MAX_BODY + _CRC_BYTES + (MAX_BODY + _CRC_BYTES + 253) // 254  # without its zero byte


def encode(body: bytes) -> bytes:
    """One frame, its closing zero byte included. `body` holds 1 to MAX_BODY bytes; its caller has checked that."""
    return cobs.encode(body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")) + b"\0"


class Decoder:
    """Takes the stream in any chunking. Holds at most MAX_ENCODED bytes of an unfinished frame.

    `bad` counts what was dropped: a wrong CRC, stuffing that cannot be, a frame too short or too long.
    """

    def __init__(self) -> None:
        self.bad = 0
        self._rest = b""
        self._overlong = False  # the frame under way is too long: skip to its end
        self._joined = False  # before a frame has ended we may have come in the middle of one, which is no damage

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that end within `data`, in order."""
        *ended, rest = data.split(b"\0")
        bodies = []
        for piece in ended:
            encoded, self._rest = self._rest + piece, b""
            body = None if self._overlong or len(encoded) > MAX_ENCODED else _body(encoded)
            self._overlong = False
            if body:
                bodies.append(body)
            elif encoded or body is None:  # two zero bytes in a row are only an empty pause
                self.bad += self._joined
            self._joined = True
        self._rest += rest[: MAX_ENCODED + 1]
        if len(self._rest) > MAX_ENCODED:
            self._rest, self._overlong = b"", True
        return bodies

    def reset(self) -> None:
        """Forgets an unfinished frame: the stream starts anew."""
        self._rest, self._overlong, self._joined = b"", False, False


def _body(encoded: bytes) -> bytes | None:
    """The body, empty for an empty frame; None for anything damaged."""
    if not encoded:
        return b""
    try:
        decoded = cobs.decode(encoded)
    except cobs.DecodeError:
        return None
    body, crc = decoded[:-_CRC_BYTES], decoded[-_CRC_BYTES:]
    if not body or zlib.crc32(body) != int.from_bytes(crc, "little"):
        return None
    return body

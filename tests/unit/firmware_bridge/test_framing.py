"""Frames on a byte stream: any chunking, damage and caps; Python and C write and read the same bytes."""

from __future__ import annotations

import ctypes
import random
import zlib

import pytest
from cobs import cobs

from firmware_bridge import framing
from firmware_bridge.protocol import MAX_BODY
from tests.emulator.firmware import Firmware

BODIES = [b"\x01", b"\0", b"\0" * 300, b"\x11" * MAX_BODY, bytes(range(256)) * 2]
BODIES += [b"\xff" * size for size in (249, 250, 251, 253, 254, 255, 508)]  # around the ends of COBS blocks


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = Firmware().lib
    library.frame_encode.restype = ctypes.c_size_t
    return library


class CDecoder:
    """The firmware's decoder, byte for byte."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._state = ctypes.create_string_buffer(2048)  # struct frame_decoder, zeroed
        self.bodies: list[bytes] = []
        handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self._handler = handler(lambda _, body, size: self.bodies.append(ctypes.string_at(body, size)))

    def feed(self, data: bytes) -> list[bytes]:
        self.bodies.clear()
        self._library.frame_decode(self._state, data, ctypes.c_size_t(len(data)), self._handler, None)
        return list(self.bodies)


def test_framing_encode_gives_the_golden_bytes() -> None:
    body = b"\x01\x02"
    assert framing.encode(body) == cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    assert framing.encode(body).hex() == "0701029242ccb600"


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{len(body)} of {body[0]:02x}")
def test_framing_python_and_c_agree(library: ctypes.CDLL, body: bytes) -> None:
    out = ctypes.create_string_buffer(2048)
    size = library.frame_encode(body, ctypes.c_size_t(len(body)), out)
    made = out.raw[:size]
    assert len(made) <= framing.MAX_ENCODED + 1
    assert framing.Decoder().feed(made) == [body]
    assert CDecoder(library).feed(framing.encode(body)) == [body]


def test_decoder_any_chunking_gives_the_same_frames(library: ctypes.CDLL) -> None:
    rng = random.Random(7)
    bodies = [rng.randbytes(rng.randrange(1, MAX_BODY + 1)) for _ in range(40)]
    stream = b"\0\0".join(framing.encode(body) for body in bodies)
    for decoder in (framing.Decoder(), CDecoder(library)):
        assert [body for i in range(len(stream)) for body in decoder.feed(stream[i : i + 1])] == bodies
        at, got = 0, []
        while at < len(stream):
            size = rng.randrange(1, 2000)
            got += decoder.feed(stream[at : at + size])
            at += size
        assert got == bodies


def test_decoder_damage_costs_one_frame_and_is_counted() -> None:
    good = framing.encode(b"good")
    for bad in (b"\x05\x01\0", good[1:], b"\x01\0", bytes(reversed(good[:-1])) + b"\0", b"\x02" * 4000 + b"\0"):
        decoder = framing.Decoder()
        assert decoder.feed(good + bad + good) == [b"good", b"good"]
        assert decoder.bad == 1


def test_decoder_endless_frame_holds_no_memory() -> None:
    decoder = framing.Decoder()
    assert decoder.feed(framing.encode(b"first")) == [b"first"]
    for _ in range(1000):
        assert decoder.feed(b"\x01" * 10_000) == []
        assert len(decoder._rest) <= framing.MAX_ENCODED
    assert decoder.feed(b"\0" + framing.encode(b"next")) == [b"next"]
    assert decoder.bad == 1


def test_decoder_pauses_are_not_damage() -> None:
    decoder = framing.Decoder()
    assert decoder.feed(b"\0" * 50 + framing.encode(b"a") + b"\0\0") == [b"a"]
    assert decoder.bad == 0


def test_decoder_beginning_within_a_frame_is_not_damage(library: ctypes.CDLL) -> None:
    stream = framing.encode(b"half a frame")[4:] + framing.encode(b"whole")
    decoder = framing.Decoder()
    assert decoder.feed(stream) == [b"whole"]
    assert decoder.bad == 0
    assert CDecoder(library).feed(stream) == [b"whole"]

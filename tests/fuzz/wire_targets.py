"""Fuzz targets: what comes over the radio from each product, over our own link, and to the service."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from firmware_bridge import image, protocol
from firmware_bridge.devices import display_text, even_g1_wire, frame_wire, omi_glass, reference_wire
from firmware_bridge.devices.device import Inbox, Stream
from firmware_bridge.devices.omi_audio import AudioFramer, audio_format
from firmware_bridge.devices.photo import Assembler
from firmware_bridge.link import Link
from glasses.service.protocol import messages, wire
from glasses.service.protocol.events import Event
from tests.fuzz.target import Target

_SESSION = "s" * 22
_requests: wire.Decoder[messages.Request] = wire.Decoder(messages.Request)
_events: wire.Decoder[Event] = wire.Decoder(Event)


def packets(data: bytes) -> list[bytes]:
    """An input as a sequence of packets: a byte of length, then as many bytes."""
    out, at = [], 0
    while at < len(data) and len(out) < 200:
        out.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return out


def joined(*parts: bytes) -> bytes:
    """The inverse of `packets`."""
    return b"".join(bytes((len(part),)) + part for part in parts)


def _photo(assembler: Assembler, chunks: list[bytes]) -> None:
    next(assembler)
    try:
        for chunk in chunks:
            assembler.send(chunk)
    except StopIteration:
        return


def _omi(data: bytes) -> None:
    kind, *values = packets(data) or [b""]
    what = kind[0] % 4 if kind else 0
    if what == 0:
        framer = AudioFramer()
        stream = Stream(audio_format(kind[1:2]).decoder(), Inbox())
        for n, packet in enumerate(values):
            for heard in framer.feed(packet, n * 20_000_000):
                stream.frame(heard.frame, heard.t_ns, lost_before=heard.lost)
        framer.flush()
    elif what == 1:
        _photo(omi_glass.assemble(), values)
    else:
        for value in values:
            (omi_glass.pressed if what == 2 else omi_glass.battery_percent)(value)


def _omi_seeds() -> list[bytes]:
    sound = [struct.pack("<HB", n, part) + bytes(8) for n, part in ((0, 0), (1, 1), (2, 0), (9, 0), (0xFFFF, 0))]
    photo = [b"\0\0\1\xff\xd8", b"\1\0abc", b"\2\0\xff\xd9", b"\xff\xff"]
    return [
        *(joined(bytes((0, codec)), *sound) for codec in (0, 1, 10, 11)),
        joined(b"\1", *photo),
        joined(b"\2", b"\1\0\0\0\0\0\0\0", b"\5\0\0\0"),
        joined(b"\3", b"\x40", b"\x64"),
    ]


def _frame(data: bytes) -> None:
    chunks = []
    for value in packets(data):
        said = frame_wire.parse(value)
        if isinstance(said, frame_wire.PhotoChunk):
            frame_wire.is_last(said.data)
            chunks.append(said.data)
    if chunks:
        _photo(frame_wire.assemble(270), chunks)


def _frame_seeds() -> list[bytes]:
    values = ("01 01 00 00", "01 05 07 10 20", "01 06", "01 07 ff d8", "01 08 00 00 00 02", "01 09 02", "01 0b 03")
    one_by_one = [joined(bytes.fromhex(value)) for value in (*values, "01 0c 49", "68 69", "01 0e 01 78")]
    return [*one_by_one, joined(*(bytes.fromhex(value) for value in values))]


def _g1(data: bytes) -> None:
    names: list[str] = []
    for value in packets(data):
        names.append(value.decode("latin-1"))
        said = even_g1_wire.parse(value)
        if isinstance(said, even_g1_wire.Reply):
            if said.command == even_g1_wire.ASK_BATTERY[0]:
                even_g1_wire.battery_percent(said.data)
            else:
                said.check("left arm")
    even_g1_wire.pair(names)
    for name in names:
        even_g1_wire.why_alone(name, names)


def _g1_seeds() -> list[bytes]:
    values = ("2c 66 5a", "f5 01", "4e c9", "16 00 00 00 00 c9", "25 06 01 00 04 01")
    arms = (b"Even G1_17_L_A", b"Even G1_17_R_B", b"Even G1_17_R_C")
    return [joined(bytes.fromhex(v)) for v in values] + [joined(b"\xf1\0" + bytes(200)), joined(*arms)]


def _text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    frame_wire.text_message(text[:300], "Frame")
    pages = even_g1_wire.text_pages(text)
    for page in pages[:3]:
        cut = [packet[9:] for packet in even_g1_wire.text_packets(page, seq=1)]
        assert "".join(one.decode() for one in cut) == display_text.clean(page)
        assert max(map(len, cut)) <= 191


def _text_seeds() -> list[bytes]:
    texts = (
        "naïve café — 5 °C",
        "👩\u200d👩\u200d👧 👍🏽 🇩🇪",
        "a\tb\r\nc\0d\u2028\u202e",
        "e" + "\u0301" * 100,
        "漢字 שלום",
    )
    return [text.encode() for text in texts]


def _messages(data: bytes) -> None:
    """Messages of our link, as the host takes them, and as parts of one photograph."""
    microphone = reference_wire.Microphone(16_000)
    parts = packets(data)
    for part in parts:
        message = protocol.decode(part)
        if message.name == "audio":
            microphone.heard(message, 0)
        elif message.name == "info":
            reference_wire.capabilities(message.fields)
        reference_wire.event(message, 0)
    photo = [part for part in parts if part[:1] and protocol.NAMES[part[0]] in ("photo", "photo_chunk", "photo_end")]
    if photo:
        _photo(reference_wire.assemble(1), photo)


def _message_seeds() -> list[bytes]:
    empty = [
        bytes((number,)) + bytes(protocol.HEADER.layouts[f"msg_{name}"].codec.size)
        for number, name in protocol.NAMES.items()
        if f"msg_{name}" in protocol.HEADER.layouts
    ]
    return [*map(joined, empty), joined(*empty[:6])]


def _link(data: bytes) -> None:
    link = Link()
    link.start(0)
    link.opened(0)
    sent = link.transmit(0)
    for n, part in enumerate(packets(data)):
        link.received(part, n * 1000)
        sent += link.transmit(n * 1000)


def _link_seeds() -> list[bytes]:
    link = Link(random=bytes)
    link.start(0)
    link.opened(0)
    hello = link.transmit(0)
    return [joined(hello[:255]), joined(hello[:20], hello[20:255]), joined(b"\0\0\1\0")]


def _request_seeds() -> list[bytes]:
    rows = np.ones((2, 4), np.float32)
    inputs = [messages.Text("hello"), messages.Rows(0), messages.Sensed(0, "space", "audio", 20)]
    return [
        wire.encode(messages.Open(rid=1)),
        wire.encode(messages.Feed(rid=2, session=_SESSION, seq=1, parts=inputs), [rows]),
        *(
            wire.encode(messages.Feed(2, _SESSION, 1, [messages.Rows(0)]), [rows], dtype)
            for dtype in ("f32", "f16", "i8")
        ),
        wire.encode(messages.Ping(rid=3)),
    ]


def _service(data: bytes) -> None:
    wire.envelope_of(data)
    _requests.decode(data)


def _firmware_seeds() -> list[bytes]:
    body = struct.pack("<IIHHIIBBHII", 0x96F3B83D, 0, 32, 0, 8, 0, 0, 1, 0, 0, 0) + bytes(8)
    digest = hashlib.blake2b(body, digest_size=32).digest()
    return [body + struct.pack("<HHHH", 0x6907, 40, 0xA0, 32) + digest]


def _event_seeds() -> list[bytes]:
    token = {
        "type": "piece",
        "session": _SESSION,
        "generation": 1,
        "index": 0,
        "token": 5,
        "text": "a",
        "logprob": -1.0,
    }
    failed = {"type": "failed", "rid": 1, "reason": "busy", "message": "later"}
    return [wire.encode(token), wire.encode(token | {"array": 0}, [np.ones((1, 4), np.float32)]), wire.encode(failed)]


TARGETS = {
    "omi": Target(_omi, _omi_seeds),
    "frame": Target(_frame, _frame_seeds),
    "g1": Target(_g1, _g1_seeds),
    "display-text": Target(_text, _text_seeds, max_bytes=1024),
    "link-messages": Target(_messages, _message_seeds),
    "link-stream": Target(_link, _link_seeds),
    "firmware-image": Target(image.hash_of, _firmware_seeds),
    "service-wire": Target(_service, _request_seeds),
    "client-wire": Target(_events.decode, _event_seeds),
}

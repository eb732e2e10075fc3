"""Kind 15: radios that repeat, reorder, restart and cut otherwise than documented; text that no display expects."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge import ble
from firmware_bridge.devices import catalogue, display_text, even_g1_wire, frame_wire, omi_glass
from firmware_bridge.devices.device import Sound
from firmware_bridge.devices.frame import Frame
from firmware_bridge.devices.omi_audio import AudioFramer
from firmware_bridge.devices.omi_glass import OmiGlass
from firmware_bridge.devices.photo import Assembler
from firmware_bridge.devices.sequence import Sequence
from firmware_bridge.errors import LinkError
from tests.emulator.frame import FramePeripheral
from tests.emulator.omi import OmiPeripheral
from tests.emulator.radio import Air, GattPeripheral
from tests.emulator.test_omi_session import picture
from tests.wild.case import Case

_OMI_PHOTO = [b"\0\0\0\xff\xd8" + b"a" * 50, b"\1\0" + b"b" * 50, b"\2\0c\xff\xd9", b"\xff\xff"]
_FRAME_PHOTO = [b"\7\xff\xd8" + b"x" * 100, b"\7" + b"y" * 96 + b"\xff\xd9", b"\x08\0\0\0\xc8"]
_TEXTS = ("naïve café — 5 °C", "привет", "漢字かな", "😀👍🏽", "שלום", "a\tb\rc\0d", "x" * 400, "a\ud800b\u202ec")
_FAMILY = "👩\u200d👩\u200d👧"


def _photo(assembler: Assembler, chunks: Iterable[bytes]) -> str:
    next(assembler)
    try:
        for chunk in chunks:
            assembler.send(chunk)
    except StopIteration as done:
        return f"a picture of {len(done.value.jpeg)} bytes"
    except LinkError as error:
        return f"refused: {error}"
    return "not complete"


def _twice(chunks: list[bytes]) -> list[bytes]:
    return [chunk for chunk in chunks for _ in (0, 1)]


def _frames(packets: Iterable[tuple[int, int, int]]) -> str:
    """Lengths of the frames, and the lost before them, of packets (counter, part, bytes of payload)."""
    framer = AudioFramer()
    heard = [
        one for n, part, size in packets for one in framer.feed(struct.pack("<HB", n & 0xFFFF, part) + b"x" * size)
    ]
    heard += framer.flush()
    lengths = [f"{len(list(same))} of {n}" for n, same in itertools.groupby(len(one.frame) for one in heard)]
    return f"{', '.join(lengths)}; {sum(one.lost for one in heard)} lost"


def _parts(*sizes: int, n_frames: int = 6, first: int = 0) -> list[tuple[int, int, int]]:
    """Packets of frames that are cut into parts of these sizes."""
    counter = itertools.count(first)
    return [(next(counter), part, size) for _ in range(n_frames) for part, size in enumerate(sizes)]


def _deaf(before: Iterable[int], after: Iterable[int], sequence: Callable[[], Sequence]) -> str:
    """How many packets with the numbers `after` are dropped, and how many are said to be lost before them."""
    counter = sequence()
    for number in before:
        counter.lost_before(number)
    said = [counter.lost_before(number) for number in after]
    return f"{said.count(None)} dropped, {sum(n for n in said if n is not None)} lost"


def _omi() -> Sequence:
    return Sequence(16, late=25, most_lost=500)


def _g1() -> Sequence:
    return Sequence(8, late=8, most_lost=64)


def _scanned(*names: str) -> str:
    """What a scan makes of advertised names, and of opening the first."""
    seen = [
        ble.Seen(f"F0:00:00:00:00:{i:02X}", name, -50, frozenset(), None)  # type: ignore[arg-type] - nobody connects
        for i, name in enumerate(names)
    ]
    found = catalogue.recognise(seen)
    pairs = [f"{one.parts[0].name} + {one.parts[1].name}" for one in found if len(one.parts) == 2]
    alone = [one for one in found if len(one.parts) == 1]
    try:
        said = "" if not alone else str(catalogue.session(alone[0]))
    except LinkError as error:
        said = f"refused: {error}"
    return f"{len(pairs)} pairs {pairs}; {said}"


def _text_of_all(send: Callable[[str], list[bytes]], max_bytes: int) -> str:
    """Whether every packet of all texts is whole characters, no longer than that, and free of control characters."""
    for text in _TEXTS:
        for packet in send(text):
            shown = packet.decode()  # raises where a character is cut in two
            if len(packet) > max_bytes or any(char < " " and char != "\n" for char in shown):
                return f"wrong: {packet!r}"
    return "whole characters, no controls"


def _g1_text(text: str) -> list[bytes]:
    return [packet[9:] for packet in even_g1_wire.text_packets(text, seq=0)]


def _parsed(parse: Callable[[bytes], Any], packet: bytes) -> str:
    try:
        return repr(parse(packet))
    except LinkError as error:
        return f"refused as {error.reason}: {error}"


def _upload(room: int) -> str:
    try:
        longest = max(len(line.encode()) for line in frame_wire.upload_lines("n", frame_wire.app()[1], room))
    except LinkError as error:
        return f"refused: {error}"
    return "fits" if longest <= room else f"a line of {longest} bytes"


class _Doubled(GattPeripheral):
    """A peripheral that is subscribed to twice: each notification comes again."""

    async def notify(self, uuid: str, data: bytes) -> None:
        await super().notify(uuid, data)
        await super().notify(uuid, data)


class _DoubledOmi(OmiPeripheral, _Doubled):
    pass


class _DoubledFrame(FramePeripheral, _Doubled):
    pass


def _doubled_omi(_: Path) -> str:
    async def session() -> str:
        air = Air()
        await air.start()
        peripheral = _DoubledOmi(air, jpeg=picture())
        await peripheral.start()
        device = OmiGlass((await ble.find("omi", 5, backends=air.backends)).device, backends=air.backends)
        await device.connect()
        try:
            photo = await device.take_photo()
            await device.start_audio()
            for value in range(4):
                await peripheral.speak(bytes((value, 0)) * 160)
            heard: list[Sound] = []
            async with asyncio.timeout(10):
                while len(heard) < 4:
                    event = await device.inbox.get()
                    heard += [event] if isinstance(event, Sound) else []
        finally:
            await device.close()
        sound = np.concatenate([one.pcm for one in heard])
        whole = photo.jpeg == peripheral.jpeg and np.array_equal(sound, np.repeat(np.arange(4), 160))
        return f"{'once each' if whole else 'wrong'}, try {photo.tries}"

    return asyncio.run(session())


def _doubled_frame(_: Path) -> str:
    async def session() -> str:
        air = Air()
        await air.start()
        peripheral = _DoubledFrame(air, jpeg=picture())
        await peripheral.start()
        device = Frame((await ble.find(peripheral.name, 5, backends=air.backends)).device, backends=air.backends)
        await device.connect()
        try:
            await device.show_text("one\ntwo")
            photo = await device.take_photo()
            level = await device.battery()
        finally:
            await device.close()
        return f"{peripheral.shown}, {level}%, {'whole' if photo.jpeg == peripheral.jpeg else 'wrong'}, {photo.tries}"

    return asyncio.run(session())


def _case(name: str, right: str, came: Callable[[], str], *, is_listed: bool = False) -> Case:
    return Case(15, name, right, lambda _: came(), is_listed=is_listed)


def _listed(name: str, right: str, came: Callable[[], str]) -> Case:
    return _case(name, right, came, is_listed=True)


CASES = [
    _listed("omi-photo-once", "picture of 105", lambda: _photo(omi_glass.assemble(), _OMI_PHOTO)),
    _listed("omi-photo-chunks-twice", "picture of 105", lambda: _photo(omi_glass.assemble(), _twice(_OMI_PHOTO))),
    _listed("frame-photo-chunks-twice", "of 200", lambda: _photo(frame_wire.assemble(None), _twice(_FRAME_PHOTO))),
    _listed("omi-parts-below-mtu", "^6 of 200; 0 lost", lambda: _frames(_parts(160, 40))),
    _listed("omi-counter-restarts-1000", "^0 dropped, 1 lost", lambda: _deaf(range(1_000), range(99), _omi)),
    _listed("omi-counter-restarts-30000", "^0 dropped, 1 lost", lambda: _deaf(range(30_000), range(99), _omi)),
    _listed(
        "g1-two-pairs-of-a-number",
        "^0 pairs.*4 arms of Even G1_17 are in reach",
        lambda: _scanned("Even G1_17_L_A", "Even G1_17_L_B", "Even G1_17_R_C", "Even G1_17_R_D"),
    ),
    _listed("g1-texts", "whole characters", lambda: _text_of_all(_g1_text, 191)),
    _listed(
        "frame-texts", "whole characters", lambda: _text_of_all(lambda t: [frame_wire.text_message(t, "Frame")], 1025)
    ),
    _listed("g1-battery-longer", "^100", lambda: str(even_g1_wire.battery_percent(b"\x2c\x66\x64\0\1\2"))),
    _listed("g1-battery-255", "refused as corrupt", lambda: _parsed(even_g1_wire.battery_percent, b"\x2c\x66\xff")),
    _listed("g1-new-gesture", "kind=None, code=17", lambda: _parsed(even_g1_wire.parse, b"\xf5\x11")),
    _listed("g1-sound-longer", "MicPacket", lambda: _parsed(even_g1_wire.parse, b"\xf1\0" + bytes(202))),
    _listed("g1-sound-shorter", "MicPacket", lambda: _parsed(even_g1_wire.parse, b"\xf1\0" + bytes(100))),
    _listed("frame-odd-sound", "refused as corrupt", lambda: _parsed(frame_wire.parse, b"\1\5\0abc")),
    *(
        _listed(f"frame-upload-in-{room}", "^fits|refused: the link carries", lambda room=room: _upload(room))
        for room in (20, 23, 24)
    ),
    _case("omi-photo-of-another-start", "refused", lambda: _photo(omi_glass.assemble(), [*_OMI_PHOTO[:2], b"\0\0z"])),
    _case("omi-parts-small-first", "^6 of 200; 0 lost", lambda: _frames(_parts(40, 160))),
    _case("omi-parts-alike", "^6 of 200; 0 lost", lambda: _frames(_parts(100, 100))),
    _case(
        "omi-mtu-changes",
        "^12 of 200; 0 lost",
        lambda: _frames([*_parts(200), *_parts(100, 60, 40, first=6)]),
    ),
    _case("omi-out-of-order", "^1 dropped, 1 lost", lambda: _deaf((), (1, 2, 4, 3, 5, 6), _omi)),
    _case("omi-replays-after-reconnect", "^20 dropped, 0 lost", lambda: _deaf(range(50), range(30, 60), _omi)),
    _case(
        "omi-counter-wraps", "^0 dropped, 0 lost", lambda: _deaf((), (n & 0xFFFF for n in range(65_500, 65_600)), _omi)
    ),
    _case("g1-counter-wraps", "^0 dropped, 0 lost", lambda: _deaf((), (n & 0xFF for n in range(200, 300)), _g1)),
    _case("g1-counter-restarts", "^0 dropped, 1 lost", lambda: _deaf(range(60), range(60), _g1)),
    _case("g1-counter-restarts-soon", "^[0-8] dropped", lambda: _deaf(range(5), range(60), _g1)),
    _case("g1-third-arm", "^0 pairs", lambda: _scanned("Even G1_1_L_A", "Even G1_1_R_B", "Even G1_1_R_C")),
    _case("g1-other-number-beside", "^1 pairs", lambda: _scanned("Even G1_1_L_A", "Even G1_2_R_B", "Even G1_1_R_C")),
    _case("g1-one-name-twice", "^0 pairs", lambda: _scanned("Even G1_1_L_A", "Even G1_1_R_B", "Even G1_1_R_B")),
    _case("g1-emoji-at-the-cut", "^True", lambda: str(_g1_text("x" * 180 + _FAMILY)[0] == b"x" * 180)),
    _case("g1-endless-grapheme", "^True", lambda: str(b"".join(_g1_text("e" + "\u0301" * 400)).decode() != "")),
    _case("omi-battery-255", "refused as corrupt", lambda: _parsed(omi_glass.battery_percent, b"\xff")),
    _case("omi-battery-empty", "refused as corrupt", lambda: _parsed(omi_glass.battery_percent, b"")),
    _case("text-line-ends", "^'a.nb.nc.nd'", lambda: repr(display_text.clean("a\r\nb\u2028c\x85d"))),
    Case(15, "omi-session-all-twice", "^once each, try 1", _doubled_omi),
    Case(15, "frame-session-all-twice", r"^\['one', 'two'\], 73%, whole, 1", _doubled_frame),
]

"""A whole session with two emulated arms: connect, battery, sound, text, bitmap, drop of one arm, reconnect."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from firmware_bridge import ble
from firmware_bridge.codecs import _load_lc3
from firmware_bridge.devices import even_g1_wire as wire
from firmware_bridge.devices.device import Battery, Event, Sound, Touch
from firmware_bridge.devices.even_g1 import EvenG1
from firmware_bridge.errors import LinkError, Reason
from tests.emulator.g1 import G1Arm
from tests.emulator.radio import Air

Session = Callable[[EvenG1, G1Arm, G1Arm, list[tuple[str, int]]], Awaitable[None]]


def with_g1(session: Session, *, heartbeat_s: float = 60.0) -> None:
    """Runs `session` with a connected device, both arms, and what was written to which arm in order."""

    async def main() -> None:
        air = Air()
        await air.start()
        log: list[tuple[str, int]] = []
        left, right = G1Arm(air, "L", log), G1Arm(air, "R", log)
        await left.start()
        await right.start()
        seen = {one.name: one.device for one in await ble.scan(0.3, backends=air.backends)}
        ((left_name, right_name),) = wire.pair(seen)
        device = EvenG1(seen[left_name], seen[right_name], backends=air.backends, heartbeat_s=heartbeat_s)
        await device.connect()
        log.clear()
        try:
            await session(device, left, right, log)
        finally:
            await device.close()

    asyncio.run(main())


async def events(device: EvenG1, kind: type[Event], count: int) -> list[Event]:
    out: list[Event] = []
    async with asyncio.timeout(10):
        while len(out) < count:
            event = await device.inbox.get()
            if isinstance(event, kind):
                out.append(event)
    return out


def test_g1_whole_session_works() -> None:
    async def session(device: EvenG1, left: G1Arm, right: G1Arm, log: list[tuple[str, int]]) -> None:
        assert await device.battery() == 64
        levels = await events(device, Battery, 2)
        assert [(e.part, e.percent) for e in levels if isinstance(e, Battery)] == [("left", 81), ("right", 64)]
        with pytest.raises(LinkError) as caught:
            await device.take_photo()
        assert caught.value.reason is Reason.NOT_SUPPORTED

        log.clear()
        text = "\n".join(f"line {i} " + "word " * 20 for i in range(7))
        assert await device.show_text(text) == 2
        assert left.shown == right.shown == "\n".join(text.split("\n")[:5])
        assert log == [("L", 0x4E)] * 3 + [("R", 0x4E)] * 3  # the right one when the left has acknowledged
        await device.show_text(text, page=2)
        assert left.shown == right.shown == "\n".join(text.split("\n")[5:])
        with pytest.raises(LinkError):
            await device.show_text(text, page=3)

        pixels = np.random.default_rng(1).integers(0, 2, (136, 576), dtype=np.uint8)
        await device.show_bitmap(pixels)
        assert left.shown == right.shown == wire.bmp_file(pixels)

        await left.say(b"\xf5\x01")
        await right.say(b"\xf5\x17")
        touches = await events(device, Touch, 2)
        assert [(e.kind, e.part) for e in touches if isinstance(e, Touch)] == [
            ("tap", "left"),
            ("assistant_start", "right"),
        ]

        await left.drop()
        async with asyncio.timeout(5):
            assert "left" in await device.wait_dropped()
        with pytest.raises(LinkError) as caught:
            await device.show_text("nobody sees this")
        assert caught.value.reason is Reason.CLOSED
        connection = right.connection
        await left.advertise()
        await device.connect()
        assert right.connection is connection  # the other arm was left alone
        await device.show_text("back")
        assert left.shown == right.shown == "back"

    with_g1(session)


def test_g1_refusal_of_an_arm_raises_and_names_it() -> None:
    async def session(device: EvenG1, left: G1Arm, right: G1Arm, log: list[tuple[str, int]]) -> None:
        left.refuse = {0x4E}
        with pytest.raises(LinkError, match="left") as caught:
            await device.show_text("no")
        assert caught.value.reason is Reason.REFUSED
        assert log == [("L", 0x4E)]  # the right one was not asked

        right.damage = True
        with pytest.raises(LinkError, match="right") as caught:
            await device.show_bitmap(np.ones((136, 576), np.uint8))
        assert caught.value.reason is Reason.REFUSED

    with_g1(session)


def test_g1_arm_without_heartbeat_answers_is_given_up() -> None:
    async def session(device: EvenG1, left: G1Arm, right: G1Arm, log: list[tuple[str, int]]) -> None:
        async with asyncio.timeout(10):
            while log.count(("R", 0x25)) < 3:
                await asyncio.sleep(0.01)
            right.deaf = True
            assert "right" in await device.wait_dropped()
        right.deaf = False
        await right.advertise()
        await device.connect()
        await device.show_text("again")
        assert right.shown == "again"

    with_g1(session, heartbeat_s=0.05)


@pytest.mark.codecs
def test_g1_lc3_sound_of_the_right_arm_is_decoded() -> None:
    async def session(device: EvenG1, left: G1Arm, right: G1Arm, log: list[tuple[str, int]]) -> None:
        await device.start_audio()
        assert (left.mic, right.mic, log) == (False, True, [("R", 0x0E)])
        packets = mic_packets(12)
        for seq, packet in enumerate(packets):
            if seq != 6:
                await right.say(packet)
        heard = [e for e in await events(device, Sound, 12) if isinstance(e, Sound)]
        assert [(e.concealed, len(e.pcm)) for e in heard] == [(i == 6, 1600) for i in range(12)]
        pcm = np.concatenate([e.pcm for e in heard[:6]])[1600:]
        spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
        assert abs(np.argmax(spectrum) * 16_000 / len(pcm) - 440) < 10

        await right.drop()
        async with asyncio.timeout(5):
            await device.wait_dropped()
        await right.advertise()
        await device.connect()
        assert right.mic  # nobody had to ask for sound again
        await right.say(packets[0])
        assert len(await events(device, Sound, 1)) == 1
        await device.stop_audio()
        assert not right.mic

    with_g1(session)


def mic_packets(count: int) -> list[bytes]:
    """`F1 seq` and ten LC3 frames of 20 bytes of a tone each, from the library's own encoder."""
    library = _load_lc3()
    library.lc3_setup_encoder.restype = ctypes.c_void_p
    library.lc3_encode.argtypes = (
        *(ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_void_p),
    )
    state = ctypes.create_string_buffer(library.lc3_encoder_size(10_000, 16_000))
    encoder = library.lc3_setup_encoder(10_000, 16_000, 16_000, state)
    said = (8000 * np.sin(2 * np.pi * 440 * np.arange(1600 * count) / 16_000)).astype(np.int16)
    frames = []
    for start in range(0, len(said), 160):
        frame = ctypes.create_string_buffer(20)
        assert library.lc3_encode(encoder, 0, said[start:].ctypes.data, 1, 20, frame) == 0
        frames.append(frame.raw)
    return [bytes((0xF1, seq)) + b"".join(frames[seq * 10 : seq * 10 + 10]) for seq in range(count)]

"""A whole session with an emulated Frame and Halo, which run our Lua: upload, battery, sound, photo, text, drop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from firmware_bridge import ble
from firmware_bridge.devices import frame_wire as wire
from firmware_bridge.devices.device import Event, Message, Sound, Touch
from firmware_bridge.devices.frame import Frame
from firmware_bridge.devices.photo import Deadlines, PhotoError, PhotoFailure
from firmware_bridge.errors import LinkError, Reason
from tests.emulator.frame import FramePeripheral
from tests.emulator.radio import Air
from tests.emulator.test_omi_session import picture, tone

QUICK = Deadlines(ask_s=2, first_chunk_s=2, next_chunk_s=0.5, whole_s=20)


def with_frame(session: Callable[[Frame, FramePeripheral], Awaitable[None]], *, halo: bool = False) -> None:
    """Runs `session` with a connected device and the peripheral behind it."""

    async def main() -> None:
        air = Air()
        await air.start()
        peripheral = FramePeripheral(air, jpeg=picture(), halo=halo)
        await peripheral.start()
        seen = await ble.find(peripheral.name, 5, backends=air.backends)
        device = Frame(seen.device, backends=air.backends)
        await device.connect()
        try:
            await session(device, peripheral)
        finally:
            await device.close()

    asyncio.run(main())


async def events(device: Frame, kind: type[Event], count: int) -> list[Event]:
    out: list[Event] = []
    async with asyncio.timeout(10):
        while len(out) < count:
            event = await device.inbox.get()
            if isinstance(event, kind):
                out.append(event)
    return out


async def hear(device: Frame, n_samples: int) -> np.ndarray:
    heard = np.zeros(0, np.int16)
    while len(heard) < n_samples:
        (event,) = await events(device, Sound, 1)
        assert isinstance(event, Sound)
        assert not event.concealed
        heard = np.concatenate([heard, event.pcm])
    return heard


@pytest.mark.parametrize("halo", [False, True])
def test_frame_whole_session_works(halo: bool) -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        assert device.capabilities.product == ("Halo" if halo else "Frame")
        assert await device.battery() == 73

        await device.start_audio()
        await peripheral.listening.wait()
        said = tone(4000)
        peripheral.speak(said.tobytes())
        assert np.array_equal(await hear(device, 4000), said)

        photo = await device.take_photo(deadlines=QUICK)
        assert (photo.jpeg == peripheral.jpeg, photo.tries) == (True, 1)
        assert photo.turn_deg == (None if halo else 270)

        text = "One line\nand a longer one that needs " + "several packets " * 40
        await device.show_text(text)
        await device.battery()  # is answered after the text was shown
        assert peripheral.shown == text.split("\n")
        assert peripheral.packets_dropped == 0

        peripheral.tap(None)
        (touch,) = await events(device, Touch, 1)
        assert isinstance(touch, Touch)
        assert touch.kind == "tap"

        uploaded = peripheral.lines_run
        peripheral.listening.clear()
        await peripheral.drop()
        async with asyncio.timeout(5):
            await device.wait_dropped()
        with pytest.raises(LinkError) as caught:
            await device.battery()
        assert caught.value.reason is Reason.CLOSED
        await peripheral.advertise()
        await device.connect()
        assert peripheral.lines_run - uploaded < 6  # it was not uploaded again
        await asyncio.wait_for(peripheral.listening.wait(), 5)
        peripheral.speak(said.tobytes())
        assert np.array_equal(await hear(device, 4000), said)  # nobody had to ask for sound again

    with_frame(session, halo=halo)


def test_frame_sound_during_a_photo_is_not_interrupted() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        await device.start_audio()
        await peripheral.listening.wait()
        photo = asyncio.create_task(device.take_photo(deadlines=QUICK))
        said = tone(16_000)
        for part in said.reshape(50, 320):
            peripheral.speak(part.tobytes())
            await asyncio.sleep(0.005)
        assert (await photo).jpeg == peripheral.jpeg
        assert np.array_equal(await hear(device, 16_000), said)

    with_frame(session)


def test_frame_photo_with_a_gap_is_requested_again() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        peripheral.lose = {(1, 10), (2, 3)}
        photo = await device.take_photo(deadlines=QUICK)
        assert (photo.tries, photo.jpeg == peripheral.jpeg) == (3, True)

    with_frame(session)


def test_frame_camera_failure_raises_with_the_reason() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        peripheral.camera_broken = True
        with pytest.raises(PhotoError, match="camera is off") as caught:
            await device.take_photo(deadlines=QUICK)
        assert caught.value.failure is PhotoFailure.CAPTURE

        peripheral.camera_broken, peripheral.camera_slow = False, True
        with pytest.raises(PhotoError) as caught:
            await device.take_photo(deadlines=QUICK)
        assert (caught.value.failure, caught.value.stage) == (PhotoFailure.TIMEOUT, "first chunk")
        with pytest.raises(PhotoError) as caught:
            await device.take_photo(deadlines=QUICK)  # the glasses still wait for the first one
        assert caught.value.failure is PhotoFailure.BUSY

    with_frame(session)


def test_halo_long_message_never_overfills_its_queue() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        await device._message(0x7F, bytes(60_000))  # a code that the application lets go
        assert peripheral.packets_dropped == 0
        assert 3000 < peripheral.most_queued_bytes <= wire.HALO_QUEUE_BYTES

    with_frame(session, halo=True)


def test_halo_speaker_plays_and_stops() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        said = tone(8000)
        await device.speak(said)
        await device.battery()  # is answered after all of it came
        assert bytes(peripheral.played) == said.tobytes()
        await device.stop_speaking()
        await device.battery()
        assert not peripheral.speaking

    with_frame(session, halo=True)


def test_frame_speak_raises_not_supported() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        with pytest.raises(LinkError) as caught:
            await device.speak(tone(160))
        assert caught.value.reason is Reason.NOT_SUPPORTED

    with_frame(session)


def test_frame_lost_sound_is_filled_in_and_marked() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        await device.start_audio()
        await peripheral.listening.wait()
        peripheral.lose = {(0, peripheral._since_capture + 4), (0, peripheral._since_capture + 5)}
        peripheral.speak(tone(1200).tobytes())  # ten packets of 240 bytes
        heard = [e for e in await events(device, Sound, 9) if isinstance(e, Sound)]
        assert sum(len(e.pcm) for e in heard) == 1200
        assert [len(e.pcm) for e in heard if e.concealed] == [240]

    with_frame(session)


def test_frame_upload_cut_short_is_repeated_and_never_run() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        peripheral = FramePeripheral(air)
        await peripheral.start()
        device = Frame(peripheral.address, backends=air.backends)
        connecting = asyncio.create_task(device.connect())
        async with asyncio.timeout(20):
            while len(peripheral.files.get("glasses.part", "")) < 1000:
                await asyncio.sleep(0.001)
        await peripheral.drop()
        with pytest.raises(LinkError) as caught:
            await connecting
        assert caught.value.reason is Reason.CLOSED
        assert list(peripheral.files) == ["glasses.part"]

        await peripheral.advertise()
        await device.connect()
        name, text = wire.app()
        assert peripheral.files == {f"{name}.lua": text}
        assert await device.battery() == 73
        await device.close()

    asyncio.run(main())


def test_frame_lua_print_becomes_a_message() -> None:
    async def session(device: Frame, peripheral: FramePeripheral) -> None:
        peripheral._print("attempt to index a nil value")
        (event,) = await events(device, Message, 1)
        assert isinstance(event, Message)
        assert event.text == "attempt to index a nil value"

    with_frame(session)


def test_frame_without_a_bond_refuses_and_says_so() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        peripheral = FramePeripheral(air)
        await peripheral.start()
        async with await ble.Peripheral.connect(peripheral.address, pair=False, backends=air.backends) as stranger:
            with pytest.raises(LinkError, match="paired") as caught:
                await stranger.write(wire.WRITE, b"print(1)")
        assert caught.value.reason is Reason.REFUSED
        assert peripheral.lines_run == 0

    asyncio.run(main())

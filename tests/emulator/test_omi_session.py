"""A whole session with an emulated Omi over the real BleakClient: connect, battery, sound, photo, drop, reconnect."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from PIL import Image

from firmware_bridge import ble
from firmware_bridge.devices import omi_glass
from firmware_bridge.devices.device import Message, Sound, Touch
from firmware_bridge.devices.omi_glass import OmiGlass
from firmware_bridge.devices.photo import Deadlines, PhotoError, PhotoFailure
from firmware_bridge.errors import LinkError, Reason
from tests.emulator.omi import OmiPeripheral
from tests.emulator.radio import Air

QUICK = Deadlines(ask_s=2, first_chunk_s=0.3, next_chunk_s=0.3, whole_s=10)


def picture(side: int = 160) -> bytes:
    """A JPEG of noise, some 30 chunks long."""
    pixels = np.random.default_rng(4).integers(0, 255, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=60)
    return out.getvalue()


def tone(n_samples: int) -> np.ndarray:
    """int16 (n,) of 440 Hz at 16 kHz."""
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(n_samples) / 16_000)).astype(np.int16)


def with_omi(
    session: Callable[[OmiGlass, OmiPeripheral], Awaitable[None]],
    *,
    model: str = "OMI Glass",
    codec_id: int = 0,
    jpeg: bytes | None = None,
) -> None:
    """Runs `session` with a connected device and the peripheral behind it."""

    async def main() -> None:
        air = Air()
        await air.start()
        peripheral = OmiPeripheral(air, model=model, codec_id=codec_id, jpeg=picture() if jpeg is None else jpeg)
        await peripheral.start()
        seen = await ble.find("omi", 5, backends=air.backends)
        device = OmiGlass(seen.device, backends=air.backends)
        await device.connect()
        try:
            await session(device, peripheral)
        finally:
            await device.close()

    asyncio.run(main())


async def sounds(device: OmiGlass, count: int) -> list[Sound]:
    out: list[Sound] = []
    async with asyncio.timeout(10):
        while len(out) < count:
            event = await device.inbox.get()
            if isinstance(event, Sound):
                out.append(event)
    return out


def test_omi_whole_session_works() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        assert device.capabilities.product == "OMI Glass"
        assert await device.battery() == 87
        with pytest.raises(LinkError) as caught:
            await device.show_text("no display")
        assert caught.value.reason is Reason.NOT_SUPPORTED

        await device.start_audio()
        said = tone(320 * 5).reshape(5, 320)
        for frame in said:
            await peripheral.speak(frame.tobytes())  # 640 bytes: three packets of one frame
        heard = await sounds(device, 5)
        assert np.array_equal(np.stack([sound.pcm for sound in heard]), said)
        assert not any(sound.concealed for sound in heard)

        photo = await device.take_photo(deadlines=QUICK)
        assert photo.jpeg == peripheral.jpeg
        assert (photo.turn_deg, photo.tries) == (90, 1)

        await peripheral.drop()
        async with asyncio.timeout(5):
            assert "down" in await device.wait_dropped()
        with pytest.raises(LinkError) as caught:
            await device.battery()
        assert caught.value.reason is Reason.CLOSED

        await peripheral.advertise()
        await device.connect()
        await peripheral.speak(said[0].tobytes())  # nobody had to ask for sound again
        assert np.array_equal((await sounds(device, 1))[0].pcm, said[0])

    with_omi(session)


def test_omi_button_presses_become_touches() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        assert "touch" in device.capabilities.abilities
        for code in (4, 5, 0, 2, 99):
            await peripheral.notify(omi_glass.BUTTON, code.to_bytes(4, "little") + bytes(4))
        said: list[str] = []
        async with asyncio.timeout(10):
            while len(said) < 4:
                event = await device.inbox.get()
                said += [event.kind] if isinstance(event, Touch) else []
                said += [event.text] if isinstance(event, Message) else []
        assert said == ["press", "release", "double_tap", "Omi's button said 63 00 00 00 00 00 00 00"]

    with_omi(session)


def test_omi_lost_frames_are_filled_and_marked() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        await device.start_audio()
        said = tone(100 * 6).reshape(6, 100)
        for i, frame in enumerate(said):
            await peripheral.speak(frame.tobytes(), lose=i in (2, 3))
        heard = await sounds(device, 5)
        assert [(sound.concealed, len(sound.pcm)) for sound in heard] == [
            *[(False, 100)] * 2,
            (True, 200),
            *[(False, 100)] * 2,
        ]
        assert all(a.t_ns <= b.t_ns for a, b in itertools.pairwise(heard))

    with_omi(session)


def test_omi_photo_with_a_gap_is_requested_again() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        peripheral.lose = {(1, 3), (2, 0)}
        photo = await device.take_photo(deadlines=QUICK)
        assert (photo.tries, photo.jpeg == peripheral.jpeg, peripheral.photos_asked) == (3, True, 3)

        peripheral.lose = {(n, 5) for n in range(4, 7)}
        with pytest.raises(PhotoError) as caught:
            await device.take_photo(deadlines=QUICK)
        assert caught.value.failure is PhotoFailure.GAP
        assert peripheral.photos_asked == 6

    with_omi(session)


def test_omi_photo_without_its_end_times_out_in_its_stage() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        peripheral.silent = True
        with pytest.raises(PhotoError) as caught:
            await device.take_photo(deadlines=QUICK)
        assert (caught.value.failure, caught.value.stage) == (PhotoFailure.TIMEOUT, "first chunk")

        peripheral.silent = False
        peripheral.pause_s = 0.5
        with pytest.raises(PhotoError) as caught:
            await device.take_photo(deadlines=QUICK)
        assert (caught.value.failure, caught.value.stage) == (PhotoFailure.TIMEOUT, "next chunk")

    with_omi(session)


def test_omi_second_photo_is_refused_and_a_drop_ends_the_first() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        peripheral.pause_s = 0.05
        first = asyncio.create_task(device.take_photo())
        while not peripheral.photos_asked:
            await asyncio.sleep(0.01)
        with pytest.raises(PhotoError) as caught:
            await device.take_photo()
        assert caught.value.failure is PhotoFailure.BUSY
        await peripheral.drop()
        with pytest.raises(PhotoError) as caught:
            await first
        assert caught.value.failure is PhotoFailure.LINK
        with pytest.raises(PhotoError) as caught:
            await device.take_photo()
        assert (caught.value.failure, caught.value.stage) == (PhotoFailure.LINK, "asking")

    with_omi(session)


@pytest.mark.parametrize("jpeg", [b"", b"\x00" * 500])
def test_omi_camera_without_a_picture_is_a_failed_capture(jpeg: bytes) -> None:
    async def session(device: OmiGlass, _: OmiPeripheral) -> None:
        with pytest.raises(PhotoError) as caught:
            await device.take_photo(deadlines=QUICK)
        assert caught.value.failure is PhotoFailure.CAPTURE

    with_omi(session, jpeg=jpeg)


def test_omi_pendant_photo_raises_not_supported() -> None:
    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        assert device.capabilities.product == "Omi"
        with pytest.raises(LinkError) as caught:
            await device.take_photo()
        assert caught.value.reason is Reason.NOT_SUPPORTED
        assert peripheral.photos_asked == 0

    with_omi(session, model="Omi DevKit 2")


@pytest.mark.codecs
def test_omi_opus_sound_is_decoded() -> None:
    import opuslib_next  # noqa: PLC0415  # pyright: ignore[reportMissingImports] - of the extra codecs; the module fails to load without libopus

    async def session(device: OmiGlass, peripheral: OmiPeripheral) -> None:
        encoder = opuslib_next.Encoder(16_000, 1, opuslib_next.APPLICATION_AUDIO)
        await device.start_audio()
        said = tone(320 * 40).reshape(40, 320)
        for i, frame in enumerate(said):
            await peripheral.speak(encoder.encode(frame.tobytes(), 320), lose=i == 20)
        heard = await sounds(device, 40)
        assert [sound.concealed for sound in heard] == [i == 20 for i in range(40)]
        pcm = np.concatenate([sound.pcm for sound in heard])[3200:]
        spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
        assert abs(np.argmax(spectrum) * 16_000 / len(pcm) - 440) < 5
        lost = heard[20].pcm.astype(float)
        assert np.sqrt((lost**2).mean()) > 1000  # libopus goes on with the tone; silence would be 0

    with_omi(session, codec_id=21)

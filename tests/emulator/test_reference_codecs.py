"""Sound of the reference firmware in codecs: the board "host" sends what the reference encoders made; we decode it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from firmware_bridge.devices.device import Message, Sound
from firmware_bridge.devices.reference import Codec, ReferenceGlasses
from firmware_bridge.errors import LinkError, Reason
from tests.emulator.encoders import lc3_encoder, pitch_hz, tone
from tests.emulator.firmware import Firmware
from tests.hil.wires import Way, way

CHUNKS = 40


def opus() -> Callable[[np.ndarray], bytes]:
    import opuslib_next  # noqa: PLC0415  # pyright: ignore[reportMissingImports] - of the extra codecs; the module fails to load without libopus

    encoder = opuslib_next.Encoder(16_000, 1, opuslib_next.APPLICATION_AUDIO)
    return lambda pcm: encoder.encode(pcm.tobytes(), 320)


def lc3() -> Callable[[np.ndarray], bytes]:
    encode = lc3_encoder(40)
    return lambda pcm: encode(pcm[:160]) + encode(pcm[160:])


async def heard(device: ReferenceGlasses, firmware: Firmware, packets: list[bytes]) -> list[Sound | Message]:
    """Gives the microphone the packets one after the other; returns the sounds received."""
    out: list[Sound | Message] = []
    async with asyncio.timeout(60):
        for packet in packets:
            while not firmware.hear(packet):
                await asyncio.sleep(0.001)
        while len(out) < len(packets):
            event = await device.inbox.get()
            out += [event] if isinstance(event, Sound | Message) else []
    return out


@pytest.mark.codecs
@pytest.mark.parametrize(("codec", "encoder"), [("opus", opus), ("lc3", lc3)])
def test_reference_glasses_encoded_sound_is_decoded(
    codec: Codec, encoder: Callable[[], Callable[[np.ndarray], bytes]]
) -> None:
    async def session(device: ReferenceGlasses, opened: Way) -> None:
        assert opened.firmware is not None
        await device.start_audio(codec)
        device.inbox.take_all()
        encode = encoder()
        said = [encode(chunk) for chunk in tone(320 * CHUNKS).reshape(CHUNKS, 320)]
        sounds = await heard(device, opened.firmware, said)
        assert all(isinstance(sound, Sound) and len(sound.pcm) == 320 for sound in sounds)
        pcm = np.concatenate([sound.pcm for sound in sounds if isinstance(sound, Sound)])[3200:]
        assert abs(pitch_hz(pcm) - 440) < 5
        assert np.sqrt((pcm.astype(float) ** 2).mean()) > 4000  # of 5657 said
        (damaged,) = await heard(device, opened.firmware, [b"\xff" * 3])
        assert isinstance(damaged, Message)
        await device.stop_audio()
        await device.start_audio()  # and back to samples
        while not isinstance(event := await device.inbox.get(), Sound):
            pass
        assert np.all(np.diff(event.pcm) == 31)

    async def main() -> None:
        async with asyncio.timeout(120), way("host") as opened:
            device = ReferenceGlasses(opened.open, opened.config)
            try:
                await device.connect(30)
                await session(device, opened)
            finally:
                await device.close()

    asyncio.run(main())


def test_reference_glasses_codec_the_device_lacks_is_not_requested() -> None:
    async def main() -> None:
        async with way("host") as opened:
            device = ReferenceGlasses(opened.open, opened.config)
            try:
                await device.connect(30)
                device.info["codecs"] = 1
                with pytest.raises(LinkError) as lacking:
                    await device.start_audio("opus")
                assert lacking.value.reason is Reason.NOT_SUPPORTED
                with pytest.raises(LinkError) as refused:
                    await device.command("mic", on=1, codec=9)
                assert refused.value.reason is Reason.REFUSED
            finally:
                await device.close()

    asyncio.run(main())

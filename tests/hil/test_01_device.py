"""1: what the device is and does: information, HUD, photograph, sound both ways, sensors, settings."""

from __future__ import annotations

import asyncio
import itertools
import zlib

import numpy as np
import pytest

from firmware_bridge import protocol
from firmware_bridge.devices.device import Battery, Event, Sound, Touch
from firmware_bridge.devices.photo import PhotoError, PhotoFailure
from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.link import AUDIO, CONTROL
from tests.hil.conftest import PATIENT, Bench, check_photo, fresh_heartbeat, has, needs
from tests.hil.wires import Way


async def events(device: ReferenceGlasses, wanted: type[Event], count: int) -> list[Event]:
    """The next `count` events of one kind."""
    found: list[Event] = []
    while len(found) < count:
        event = await device.inbox.get()
        if isinstance(event, wanted):
            found.append(event)
    return found


def test_device_connected_says_what_it_is(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        assert device.info["protocol_version"] == protocol.VERSION
        assert device.capabilities.product
        if has(device, "SIMULATED"):
            assert await device.battery() == 87
            assert {"microphone", "photo", "text", "bitmap", "speaker", "battery"} <= device.capabilities.abilities
        elif has(device, "BATTERY"):
            assert 0 <= await device.battery() <= 100
        link = device.session.link
        while len(link.clock._rounds) < 4:
            await asyncio.sleep(0.01)
        assert link.clock.delay_us < 5_000_000

    hil.run(body)


def test_device_hud_shows_text_and_pictures(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "HUD", "HUD_READ")
        await device.show_text("Hi")
        hud = await device.read_hud()
        assert hud[:12, :20].any()
        assert not hud[20:].any()
        picture = np.random.default_rng(1).integers(0, 256, (24, 100), dtype=np.uint8)
        await device.show_bitmap(picture, x=3, y=40)
        assert np.array_equal((await device.read_hud())[40:64, 3:103], picture)
        with pytest.raises(LinkError) as refused:
            await device.command("hud_bitmap", b"123", x=0, y=0, width=2, bits=8)
        assert refused.value.reason is Reason.REFUSED

    hil.run(body)


def test_device_photo_arrives_whole(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "CAMERA")
        photo = await device.take_photo(deadlines=PATIENT)
        check_photo(device, photo.jpeg)
        assert photo.tries == 1

    hil.run(body)


def test_device_camera_fault_is_reported_and_counted(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "SIMULATED")
        await device.simulate("camera_fault", 1)
        with pytest.raises(PhotoError) as failed:
            await device.take_photo(deadlines=PATIENT)
        assert failed.value.failure is PhotoFailure.CAPTURE
        await device.simulate("camera_fault", 0)
        check_photo(device, (await device.take_photo(deadlines=PATIENT)).jpeg)

    hil.run(body, faults=1)


def test_device_microphone_delivers_every_sample(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "MICROPHONE", "CAPTURE_LIGHT")
        await device.start_audio()
        sounds = await events(device, Sound, 25)
        pcm = [sound.pcm for sound in sounds if isinstance(sound, Sound)]
        assert all(len(chunk) == 320 for chunk in pcm)
        if has(device, "SIMULATED"):  # it hears a saw-tooth that tells every sample
            assert all(np.all(np.diff(chunk) == 31) for chunk in pcm)
            gaps = sum(int(b[0]) != (int(a[-1]) + 31 + 0x8000) % 0x10000 - 0x8000 for a, b in itertools.pairwise(pcm))
            assert gaps <= device.audio_lost  # a busy machine may starve the device, but never unsaid
        assert (await fresh_heartbeat(device))["capture_light"] == 1
        await device.stop_audio()
        assert (await fresh_heartbeat(device))["capture_light"] == 0

    hil.run(body)


def test_device_speaker_receives_every_byte(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        needs(device, "SPEAKER")
        pcm = np.random.default_rng(2).integers(-30_000, 30_000, 16_000 // 2, dtype=np.int16)
        await device.speak(pcm)
        await device.session.flushed()
        heartbeat = await fresh_heartbeat(device)
        assert heartbeat["speaker_bytes"] - way.before["speaker_bytes"] == pcm.nbytes
        assert heartbeat["speaker_crc32"] == zlib.crc32(pcm.tobytes(), way.before["speaker_crc32"])

    hil.run(body)


def test_device_touches_and_battery_are_reported(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "SIMULATED")
        for what, value, kind in (("button", 3, "press"), ("touch", 2, "double_tap"), ("worn", 1, "put_on")):
            await device.simulate(what, value)
            (touch,) = await events(device, Touch, 1)
            assert isinstance(touch, Touch)
            assert touch.kind == kind
        await device.simulate("battery", 15)
        while await device.battery() != 15:
            await events(device, Battery, 1)

    hil.run(body)


def test_device_muted_refuses_to_record(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "SIMULATED")
        await device.simulate("mute", 1)
        with pytest.raises(LinkError) as muted:
            await device.start_audio()
        assert muted.value.reason is Reason.REFUSED
        assert device.muted
        heard = device.session.link.counters.messages_in
        await fresh_heartbeat(device)
        assert device.session.link.counters.messages_in - heard < 10  # 20 ms of sound each would be 50
        await device.stop_audio()

    hil.run(body)


def test_device_settings_and_haptic_answer_commands(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        needs(device, "HAPTIC")
        volume = await device.setting("volume")
        assert volume == 50 or not has(device, "SIMULATED")
        assert await device.setting("volume", 80) == 80
        assert await device.setting("volume") == 80
        assert await device.setting("volume", volume) == volume
        with pytest.raises(LinkError):
            await device.command("haptic", b"more", duration_ms=1, strength=1)
        await device.haptic(120)
        assert (await fresh_heartbeat(device))["haptic_ms"] - way.before["haptic_ms"] == 120

    hil.run(body)


def test_device_both_directions_at_once_lose_nothing(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        needs(device, "CAMERA", "SPEAKER")
        pcm = np.arange(16_000 // 4, dtype=np.int16)
        photo = (await asyncio.gather(device.take_photo(deadlines=PATIENT), device.speak(pcm)))[0]
        check_photo(device, photo.jpeg)
        await device.session.flushed()
        heartbeat = await fresh_heartbeat(device)
        assert heartbeat["speaker_crc32"] == zlib.crc32(pcm.tobytes(), way.before["speaker_crc32"])
        assert device.session.link.pending(AUDIO) == device.session.link.pending(CONTROL) == 0

    hil.run(body)

"""2: faults and recovery: drops, restarts, hangs, brown-outs, wrong keys, other protocols."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge import greeting
from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.protocol import value_of
from firmware_bridge.security import key_of, new_pairing_code
from firmware_bridge.session import Session, now_us
from firmware_bridge.states import State, Why
from tests.hil.conftest import PATIENT, Bench, check_photo, fresh_heartbeat, needs
from tests.hil.wires import Way


def test_link_dropped_loses_nothing_that_was_promised(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        needs(device, "SPEAKER", "CAMERA")
        if way.drop is None:
            device.session.link.lost(now_us(), Why.SILENT)  # as if it had been silent for too long
        else:
            await way.drop()
        await device.wait_dropped()
        pcm = np.arange(3200, dtype=np.int16)
        await device.speak(pcm)
        await device.session.flushed()
        heartbeat = await fresh_heartbeat(device)
        assert heartbeat["speaker_bytes"] - way.before["speaker_bytes"] == pcm.nbytes
        assert device.session.link.counters.sessions == 2
        await device.connect(30)
        check_photo(device, (await device.take_photo(deadlines=PATIENT)).jpeg)

    hil.run(body)


def test_device_restarted_is_noticed(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        if way.reset is None:
            pytest.skip("nobody can reset this device from here")
        assert await device.setting("volume", 90) == 90
        await device.start_audio()
        while (device._audio_seq or 0) < 10:
            await asyncio.sleep(0.01)
        lost = device.audio_lost
        way.reset()
        await device.wait_dropped()
        await device.connect(60)
        assert await device.setting("volume") == 50
        while device._audio_seq is None:  # its sound is numbered from 0 again, and goes on unasked
            await asyncio.sleep(0.01)
        check_photo(device, (await device.take_photo(deadlines=PATIENT)).jpeg)
        assert device.audio_lost >= lost

    hil.run(body)


def test_device_brown_out_is_reported(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, _: Way) -> None:
        needs(device, "SIMULATED")
        await device.simulate("brown_out")
        await device.wait_dropped()
        await device.connect(60)
        assert device.info["reset_reason"] == value_of("RESET_BROWN_OUT")

    hil.run(body)


def test_device_hang_is_ended_by_the_watchdog(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        needs(device, "SIMULATED")
        await device.simulate("hang")
        await device.wait_dropped()
        if way.firmware is not None:
            way.firmware.watchdog(now_us())  # the board "host" has no time of its own
        await device.connect(60)
        assert device.info["reset_reason"] == value_of("RESET_WATCHDOG")

    hil.run(body)


def test_device_other_key_gets_no_answer(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        await device.session.close()
        if way.config.key is None:
            with pytest.raises(LinkError) as refused:
                await _connect(way, key_of(new_pairing_code()))
            assert refused.value.reason is Reason.NOT_AUTHENTIC
        else:
            with pytest.raises(LinkError) as unanswered:
                await _connect(way, key_of(new_pairing_code()))
            assert "pairing code" in str(unanswered.value)
            with pytest.raises(LinkError) as refused:
                await _connect(way, None)
            assert refused.value.reason is Reason.NOT_AUTHENTIC
            assert "link pair" in str(refused.value)

    _without_check(hil, body)


def test_device_other_protocol_is_refused_with_advice(hil: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        await device.session.close()
        monkeypatch.setattr(greeting, "HASH", b"otherone")
        with pytest.raises(LinkError) as refused:
            await _connect(way, way.config.key)
        assert refused.value.reason is Reason.WRONG_PROTOCOL
        assert "update" in str(refused.value)
        monkeypatch.undo()
        await _connect(way, way.config.key)

    _without_check(hil, body)


async def _connect(way: Way, key: bytes | None) -> None:
    async with Session(way.open, replace(way.config, key=key)) as session:
        await session.wait_up(8 if key else 60)
        assert session.link.state is State.UP


def _without_check(hil: Bench, body) -> None:
    """For tests that leave no session to ask for counters."""

    class Unchecked(Bench):
        async def _check(self, device: ReferenceGlasses, opened: Way, faults: int) -> None:
            pass

    Unchecked(hil.name, hil.key, hil.image).run(body)

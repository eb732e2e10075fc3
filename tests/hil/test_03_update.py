"""3: firmware update over the link: two slots, a trial, its confirmation, and the way back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.image import build_image, hash_of, read_key
from firmware_bridge.session import now_us
from firmware_bridge.smp import Updater
from tests.emulator.firmware import FIRMWARE
from tests.hil.conftest import Bench, fresh_heartbeat, needs
from tests.hil.wires import BUILT_HERE, Way

HEADER_BYTES = 32


def signing_seed() -> bytes:
    """The key that the firmware here was built for."""
    return read_key(FIRMWARE / "build" / "development.key")


async def image_for(device: ReferenceGlasses, way: Way, hil: Bench, version: tuple[int, int, int]) -> bytes:
    """This device's own firmware under another version; the board "host" runs no image, so any bytes will do."""
    needs(device, "UPDATE")
    if hil.name not in BUILT_HERE:
        return await image_for_desk(device, hil, version)
    if way.firmware is not None:
        way.firmware.flash(0, build_image(b"as from the factory" * 100, signing_seed()))
        return build_image(b"the next one" * 2000, signing_seed(), version)
    return build_image(Path(FIRMWARE, "build/qemu/firmware.bin").read_bytes(), signing_seed(), version, 0x00100000)


async def image_for_desk(device: ReferenceGlasses, hil: Bench, version: tuple[int, int, int]) -> bytes:
    """The body of --hil-image under another version, and only if that is what runs there: another might never start."""
    if hil.image is None:
        pytest.skip("no update without --hil-image FILE, the signed image of the firmware that this device runs")
    digest, size, load_address = (
        hash_of(hil.image),
        *(int.from_bytes(hil.image[at : at + 4], "little") for at in (12, 4)),
    )
    body = hil.image[HEADER_BYTES : HEADER_BYTES + size]
    (runs,) = [slot for slot in await updater(device, hil).slots() if slot["active"]]
    major, minor, revision = (int(part) for part in re.findall(r"\d+", str(runs["version"]))[:3])
    same = hash_of(build_image(body, signing_seed(), (major, minor, revision), load_address))
    if runs["hash"] not in (digest, same):
        pytest.fail(f"--hil-image is not what {device.capabilities.product} runs ({runs['version']}): nothing uploaded")
    return build_image(body, signing_seed(), version, load_address)


def updater(device: ReferenceGlasses, hil: Bench) -> Updater:
    return Updater(device, timeout_s=60 if hil.name == "emulator" else 10)


def versions(slots: list[dict[str, object]]) -> dict[object, object]:
    return {slot["slot"]: slot["version"] for slot in slots}


def test_update_trial_confirmed_stays(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        image = await image_for(device, way, hil, (0, 2, 0))
        update, old = updater(device, hil), device.info["slot"]
        before = versions(await update.slots())
        written: list[int] = []
        digest = await update.upload(image, written.append)
        assert written == sorted(written)
        assert written[-1] == len(image)
        assert versions(await update.slots()) == {old: before[old], 1 - old: "0.2.0"}
        await update.try_once(digest)
        await device.wait_dropped()
        await device.connect(60)
        assert (device.info["slot"], device.info["confirmed"]) == (1 - old, 0)
        await update.confirm()
        await update.reset()
        await device.wait_dropped()
        await device.connect(60)
        assert (device.info["slot"], device.info["confirmed"]) == (1 - old, 1)

    hil.run(body)


def test_update_trial_not_confirmed_ends_with_the_next_reset(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        needs(device, "UPDATE", "SIMULATED")
        image = await image_for(device, way, hil, (0, 3, 0))
        update, old = updater(device, hil), device.info["slot"]
        await update.try_once(await update.upload(image))
        await device.wait_dropped()
        await device.connect(60)
        assert (device.info["slot"], device.info["confirmed"]) == (1 - old, 0)
        with pytest.raises(LinkError) as refused:  # the slot it would go back to is not to be written
            await update.upload(image)
        assert refused.value.reason is Reason.REFUSED
        await device.simulate("hang")  # the trial fails: nobody can confirm, the watchdog bites
        await device.wait_dropped()
        if way.firmware is not None:
            way.firmware.watchdog(now_us())
        await device.connect(60)
        assert (device.info["slot"], device.info["confirmed"]) == (old, 1)

    hil.run(body)


def test_update_damaged_or_unsigned_image_never_runs(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        update = updater(device, hil)
        image = await image_for(device, way, hil, (0, 5, 0))
        damaged = image[:-1] + bytes((image[-1] ^ 1,))  # in the signature: the host cannot tell
        for wrong in (damaged, build_image(b"stranger" * 200, bytes(32))):
            with pytest.raises(LinkError) as refused:
                await update.upload(wrong)
            assert refused.value.reason is Reason.REFUSED
        with pytest.raises(LinkError) as corrupt:
            await update.upload(image[:100] + b"?" + image[101:])
        assert corrupt.value.reason is Reason.CORRUPT
        assert len(await update.slots()) == 1
        assert (await fresh_heartbeat(device))["faults"] == 0

    hil.run(body)


def test_update_power_lost_keeps_what_ran(hil: Bench) -> None:
    async def body(device: ReferenceGlasses, way: Way) -> None:
        if way.reset is None:
            pytest.skip("nobody can reset this device from here")
        image = await image_for(device, way, hil, (0, 6, 0))
        restart = way.reset

        def cut(written: int) -> None:
            if written > len(image) // 2:
                restart()
                raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            await updater(device, hil).upload(image, cut)
        await device.wait_dropped()
        await device.connect(60)
        assert (device.info["slot"], device.info["confirmed"]) == (0, 1)
        update = updater(device, hil)
        assert versions(await update.slots()) == {0: "0.1.0"}
        await update.upload(image)
        assert versions(await update.slots()) == {0: "0.1.0", 1: "0.6.0"}

    hil.run(body)

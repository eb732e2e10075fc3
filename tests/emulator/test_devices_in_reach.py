"""All emulated products in one radio space: the same calls recognise, open and keep them connected."""

from __future__ import annotations

import asyncio

import pytest

from firmware_bridge import ble
from firmware_bridge.devices import catalogue
from firmware_bridge.devices.device import LinkChanged
from firmware_bridge.devices.even_g1 import EvenG1
from firmware_bridge.devices.frame import Frame
from firmware_bridge.devices.omi_glass import OmiGlass
from firmware_bridge.devices.reconnect import Backoff, State, keep_connected
from firmware_bridge.errors import LinkError, Reason
from tests.emulator.frame import FramePeripheral
from tests.emulator.g1 import G1Arm
from tests.emulator.omi import OmiPeripheral
from tests.emulator.radio import Air, GattPeripheral


class HeartRateMonitor(GattPeripheral):
    """A heart rate monitor, which is no glasses."""

    name = "Heart"
    address = "F9:00:00:00:00:01"
    services = {"180D": {"2A37": "NOTIFY"}}  # noqa: RUF012 - declared a class variable by its base


def test_scan_recognises_and_opens_every_product() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        peripherals = [
            OmiPeripheral(air),
            FramePeripheral(air),
            G1Arm(air, "L", []),
            G1Arm(air, "R", []),
            HeartRateMonitor(air),
        ]
        for peripheral in peripherals:
            await peripheral.start()
        glasses = catalogue.recognise(await ble.scan(0.4, backends=air.backends))
        by_product = {one.capabilities.product: one for one in glasses}
        assert sorted(by_product) == ["Even G1", "Frame", "OMI Glass"]
        assert [part.name for part in by_product["Even G1"].parts] == ["Even G1_17_L_D2F3A0", "Even G1_17_R_D2F3A1"]
        kinds = {product: type(catalogue.session(one, backends=air.backends)) for product, one in by_product.items()}
        assert kinds == {"Even G1": EvenG1, "Frame": Frame, "OMI Glass": OmiGlass}

    asyncio.run(main())


def test_catalogue_g1_arm_alone_is_listed_and_not_opened() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        await G1Arm(air, "L", []).start()
        (alone,) = catalogue.recognise(await ble.scan(0.4, backends=air.backends))
        assert "other arm" in alone.note
        with pytest.raises(LinkError) as caught:
            catalogue.session(alone)
        assert caught.value.reason is Reason.NOT_FOUND

    asyncio.run(main())


def test_find_unknown_name_raises_not_found() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        with pytest.raises(LinkError) as caught:
            await ble.find("nobody", 0.2, backends=air.backends)
        assert caught.value.reason is Reason.NOT_FOUND

    asyncio.run(main())


def test_keep_connected_dropped_reconnects_and_gives_reasons() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        peripheral = OmiPeripheral(air)
        await peripheral.start()
        device = OmiGlass(peripheral.address, backends=air.backends)
        states: list[State] = []
        keeping = asyncio.create_task(
            keep_connected(device, backoff=Backoff(0.01, 0.02), on_change=lambda state, _: states.append(state))
        )
        async with asyncio.timeout(20):
            for _ in range(2):
                up = await device.inbox.get()
                assert isinstance(up, LinkChanged)
                assert up.up
                await peripheral.drop()
                down = await device.inbox.get()
                assert isinstance(down, LinkChanged)
                assert not down.up
                assert "down" in down.why
                assert 0.005 <= (down.retry_in_s or 0) <= 0.02
                await peripheral.advertise()
            await device.inbox.get()  # up again
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        assert states == [*[State.CONNECTING, State.UP, State.WAITING] * 2, State.CONNECTING, State.UP]
        assert peripheral.connection is None or device._peripheral.dropped.is_set()

    asyncio.run(main())


def test_keep_connected_other_product_is_not_tried_for_ever() -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        await HeartRateMonitor(air).start()
        with pytest.raises(LinkError) as caught:
            await keep_connected(OmiGlass(HeartRateMonitor.address, backends=air.backends))
        assert caught.value.reason is Reason.WRONG_PROTOCOL

    asyncio.run(main())


def test_backoff_waits_grow_and_are_capped() -> None:
    backoff = Backoff(first_s=1, longest_s=10)
    for failures, longest in ((1, 1), (2, 2), (4, 8), (5, 10), (10_000, 10)):
        waits = [backoff.wait_s(failures) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest

"""The vendor's own host, brilliant-ble, with our emulated Frame and our Lua: neither is only our reading."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from brilliant_ble import brilliant_ble as vendor

from firmware_bridge.devices import frame_wire as wire
from tests.emulator.frame import FramePeripheral
from tests.emulator.radio import Air
from tests.emulator.test_omi_session import picture


def over(air: Air, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the vendor's package, which chooses no backend, use the emulated radio."""
    client, scanner = air.backends.client, air.backends.scanner
    assert client
    assert scanner

    class Client(BleakClient):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, backend=client, **kwargs)

    class Scanner:
        @staticmethod
        async def find_device_by_filter(chosen: Any, timeout: float, service_uuids: list[str]) -> Any:
            return await BleakScanner.find_device_by_filter(chosen, timeout, backend=scanner)

    monkeypatch.setattr(vendor, "BleakClient", Client)
    monkeypatch.setattr(vendor, "BleakScanner", Scanner)


@pytest.mark.parametrize("halo", [False, True])
def test_frame_application_vendor_host_uploads_and_talks_to_it(halo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        air = Air()
        await air.start()
        monkeypatch.setattr(FramePeripheral, "needs_bond", False)  # brilliant-ble leaves bonding to the system
        peripheral = FramePeripheral(air, jpeg=picture(), halo=halo)
        await peripheral.start()
        over(air, monkeypatch)
        said: list[bytes] = []
        host = vendor.BrilliantBle()
        await host.connect(name=peripheral.name, data_response_handler=lambda data: said.append(bytes(data)))
        assert host.type is (vendor.BrilliantDeviceType.HALO if halo else vendor.BrilliantDeviceType.FRAME)
        assert await host.send_lua("print(1+1)", await_print=True) == "2"

        name, text = wire.app()
        await host.upload_file_from_string(text, f"{name}.lua")
        assert peripheral.files[f"{name}.lua"] == text
        assert await host.send_lua(f"require('{name}')", await_print=True) == wire.READY

        await host.send_message(wire.TEXT, wire.text_message("hello " * 100, "Frame"))
        await host.wait_for_acks()
        await host.send_message(wire.PHOTO, wire.photo_message("Halo" if halo else "Frame"))
        async with asyncio.timeout(10):
            while not (said and said[-1][0] == 0x08):
                await asyncio.sleep(0.01)
        assert b"".join(data[1:] for data in said if data[0] == 0x07) == peripheral.jpeg
        assert peripheral.shown == ["hello " * 100]
        await host.send_break_signal()
        await host.disconnect()

    asyncio.run(main())

"""`--hil` says which devices the numbered tests run on; every test's end asserts that nothing went wrong unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from firmware_bridge.devices.ours import Ours
from firmware_bridge.devices.photo import Deadlines
from tests.hil.wires import LOCAL, Way, way

PATIENT = Deadlines(ask_s=60, first_chunk_s=60, next_chunk_s=60, whole_s=120)  # CI machines can be very busy
TestBody = Callable[[Ours, Way], Awaitable[None]]
DEFAULT = "host"  # the other local ways wait out real outages: minutes, so make test-emulator has them
TIMEOUT_S = 900.0  # the emulator on a busy machine takes minutes for an upload


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hil",
        default=DEFAULT,
        help="local for all of host,faulty,open,pty,tcp,ble; emulator,serial:/dev/...,HOST:PORT",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hil" in metafunc.fixturenames:
        names = str(metafunc.config.getoption("--hil", default=DEFAULT))
        ways = LOCAL if names == "local" else names.split(",")
        metafunc.parametrize("hil", [Bench(name) for name in ways], ids=str)


class Bench:
    """Runs a test body with a connected device, and looks at its counters when it is done."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name.replace("/", "_")

    def run(self, body: TestBody, *, faults: int = 0) -> None:
        """`faults`: how many the test has provoked on the device since its last start."""
        asyncio.run(self._run(body, faults))

    async def _run(self, body: TestBody, faults: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), way(self.name) as opened:
            device = Ours(opened.open, opened.config, answer_s=60)
            try:
                await device.connect(60)
                await body(device, opened)
                await self._check(device, opened, faults)
            finally:
                await device.close()

    async def _check(self, device: Ours, opened: Way, faults: int) -> None:
        heartbeat = await fresh_heartbeat(device)
        counters = device.session.link.counters
        assert heartbeat["faults"] == faults
        assert counters.malformed == 0
        if opened.perfect:
            assert heartbeat["crc_errors"] == counters.bad_frames == 0
            assert heartbeat["forged"] == counters.forged == 0
        else:
            assert heartbeat["repeated"] + counters.repeated > 0  # else the wire was not as bad as it should be


async def fresh_heartbeat(device: Ours) -> dict[str, Any]:
    """The device's own account, made from now on: the next heartbeat may have been under way already."""
    for _ in range(2):
        device.heartbeat = {}
        while not device.heartbeat:
            await asyncio.sleep(0.01)
    return device.heartbeat

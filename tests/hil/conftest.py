"""`--hil` selects the devices that the numbered files run on; each test ends by checking the counters of its device.

The tests depend on the order of the files, which their numbers set: test_01_device.py uses the device as it is,
test_02_faults.py breaks and restarts it, and test_03_update.py replaces its firmware, so it comes last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.devices.photo import Deadlines
from firmware_bridge.devices.reference import ReferenceGlasses
from firmware_bridge.errors import LinkError
from firmware_bridge.protocol import value_of
from glasses.commands import link_keys
from tests.emulator.firmware import PHOTO
from tests.hil.wires import BUILT_HERE, LOCAL, Way, way

PATIENT = Deadlines(ask_s=60, first_chunk_s=60, next_chunk_s=60, whole_s=120)  # CI machines can be very busy
TestBody = Callable[[ReferenceGlasses, Way], Awaitable[None]]
DEFAULT = "host"  # the other local ways wait out real outages: minutes, so make test-emulator has them
TIMEOUT_S = 900.0  # the emulator on a busy machine takes minutes for an upload
ENOUGH_MESSAGES = 200  # one in twenty is lost: that all of so many arrive happens once in thirty thousand times
ACCOUNT_S = 20.0  # for the counters of a device whose test has failed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hil",
        default=DEFAULT,
        help="local for all of host,faulty,open,pty,tcp,ble; emulator,serial:/dev/...,HOST:PORT,ble:NAME",
    )
    parser.addoption("--hil-key", metavar="FILE", help="of a device on a desk; default: what `link pair` has kept")
    parser.addoption(
        "--hil-image", metavar="FILE", help="the signed firmware that it runs; without it no update is tried"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hil" in metafunc.fixturenames:
        names = str(metafunc.config.getoption("--hil", default=DEFAULT))
        ways = LOCAL if names == "local" else names.split(",")
        key, image = (metafunc.config.getoption(option, default=None) for option in ("--hil-key", "--hil-image"))
        metafunc.parametrize("hil", [_bench(name, key, image) for name in ways], ids=str)


def _bench(name: str, key: str | None, image: str | None) -> Bench:
    """Raises InputError, OSError: a key or an image that cannot be read."""
    if name in BUILT_HERE:
        return Bench(name)
    found = link_keys.read(Path(key) if key else link_keys.path_of(link_keys.folder(), name))
    if key and found is None:
        raise FileNotFoundError(f"--hil-key {key}: no such file")
    return Bench(name, found, Path(image).read_bytes() if image else None)


class Bench:
    """Runs a test body with a connected device and checks its counters afterwards."""

    def __init__(self, name: str, key: bytes | None = None, image: bytes | None = None) -> None:
        """`key`, `image`: for a device on a desk."""
        self.name, self.key, self.image = name, key, image

    def __str__(self) -> str:
        return self.name.replace("/", "_")

    def run(self, body: TestBody, *, faults: int = 0) -> None:
        """`faults`: the number that the test has provoked on the device since its last start."""
        asyncio.run(self._run(body, faults))

    async def _run(self, body: TestBody, faults: int) -> None:
        async with asyncio.timeout(TIMEOUT_S), way(self.name, self.key) as opened:
            if self.name not in BUILT_HERE:
                await _as_after_a_start(opened)
            device = ReferenceGlasses(opened.open, opened.config, answer_s=60)
            try:
                await device.connect(60)
                try:
                    await body(device, opened)
                except Exception as failed:  # tells of the counters too: they may say why
                    await self._note(failed, device, opened, faults)
                    raise
                await self._check(device, opened, faults)
            finally:
                await device.close()

    async def _note(self, failed: Exception, device: ReferenceGlasses, opened: Way, faults: int) -> None:
        try:
            async with asyncio.timeout(ACCOUNT_S):
                await self._check(device, opened, faults)
        except (AssertionError, LinkError, TimeoutError) as also:
            failed.add_note(f"and its counters at the end: {also or 'no heartbeat came'}")

    async def _check(self, device: ReferenceGlasses, opened: Way, faults: int) -> None:
        heartbeat = await fresh_heartbeat(device)
        counters = device.session.link.counters
        before = opened.before if heartbeat["uptime_ms"] >= opened.before["uptime_ms"] else dict.fromkeys(heartbeat, 0)
        assert heartbeat["faults"] - before["faults"] == faults
        assert counters.malformed == 0
        if opened.perfect:
            assert heartbeat["crc_errors"] - before["crc_errors"] == counters.bad_frames == 0
            assert heartbeat["forged"] - before["forged"] == counters.forged == 0
        elif counters.messages_in + counters.messages_out >= ENOUGH_MESSAGES:
            assert heartbeat["repeated"] + counters.repeated > 0  # else the wire was not as bad as it should be


async def fresh_heartbeat(device: ReferenceGlasses) -> dict[str, Any]:
    """A heartbeat that the device makes from now on: the next one may already be under way."""
    for _ in range(2):
        device.heartbeat = {}
        while not device.heartbeat:
            await asyncio.sleep(0.01)
    return device.heartbeat


async def _as_after_a_start(opened: Way) -> None:
    """Restarts a simulated board; for any other, keeps its counters so far in `before`."""
    device = ReferenceGlasses(opened.open, opened.config, answer_s=60)
    try:
        await device.connect(60)
        if has(device, "SIMULATED"):
            await device.simulate("brown_out")
            await device.wait_dropped()
            await device.connect(60)
        else:
            opened.before.update(await fresh_heartbeat(device))
    finally:
        await device.close()


def has(device: ReferenceGlasses, name: str) -> bool:
    """Whether the device has this capability of protocol.h."""
    return bool(device.info["capabilities"] & value_of(f"CAP_{name}"))


def needs(device: ReferenceGlasses, *names: str) -> None:
    """Skips the test on a device that lacks one of these capabilities."""
    lacks = [name.lower() for name in names if not has(device, name)]
    if lacks:
        pytest.skip(f"{device.capabilities.product} is not, or has no: {', '.join(lacks)}")


def check_photo(device: ReferenceGlasses, jpeg: bytes) -> None:
    """Asserts the picture of a simulated camera, or a whole JPEG of a real one."""
    if has(device, "SIMULATED"):
        assert jpeg == PHOTO.read_bytes()
    else:
        assert (jpeg[:3], jpeg[-2:]) == (b"\xff\xd8\xff", b"\xff\xd9")

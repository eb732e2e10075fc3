"""The ways to a device that the tests of this folder run over: firmware in this process, in an emulator, on a desk.

`host` is the firmware as a library behind a plain pipe, `faulty` the same behind a bad one, `open` without a key,
`pty` behind a pseudo-terminal, `tcp` behind a port of this machine, `ble` behind GATT and the real BleakClient,
`emulator` the image under QEMU, and `serial:/dev/...` or `HOST:PORT` a device on a desk.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.security import key_of
from firmware_bridge.session import now_us
from firmware_bridge.states import Config
from firmware_bridge.transport import NOTIFY_UUID, SERVICE_UUID, WRITE_UUID, Transport, open_transport
from tests.emulator.firmware import Firmware
from tests.emulator.qemu import Qemu
from tests.emulator.radio import Air, GattPeripheral
from tests.emulator.stand_in import POLL_S, Kind, Plug, Pump
from tests.emulator.world import Wire

CODE = "ABCD-EFGH-JKLM-NPQR-STUV"
LOCAL = ("host", "faulty", "open", "pty", "tcp", "ble")
BUILT_HERE = (*LOCAL, "emulator")  # a fresh device for every test; any other name is the address of one on a desk


@dataclass
class Way:
    """An open way to a device. `drop` breaks it at once and `reset` restarts the device; None where impossible."""

    open: Callable[[], Awaitable[Transport]]
    config: Config
    perfect: bool = True  # damage must not happen on it
    drop: Callable[[], Awaitable[None]] | None = None
    reset: Callable[[], None] | None = None
    firmware: Firmware | None = None
    before: Counter[str] = field(default_factory=Counter)  # what a device that cannot be restarted had counted already


class _Pipe:
    """A Transport in this process; `up` and `down` damage what passes."""

    def __init__(self, firmware: Firmware, up: Wire, down: Wire) -> None:
        self._up, self._down = up, down
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._pump = Pump(firmware, self._from_device)
        self._carry = asyncio.create_task(self._carrying())
        self.closed = False

    async def _from_device(self, data: bytes) -> None:
        self._up.put(data, now_us())

    async def _carrying(self) -> None:
        while True:
            self._pump.waiting += self._down.get(now_us())
            if data := self._up.get(now_us()):
                self._received.put_nowait(data)
            await asyncio.sleep(POLL_S)

    async def send(self, data: bytes) -> None:
        if self.closed:
            raise LinkError(Reason.CLOSED, "pipe: closed")
        self._down.put(data, now_us())

    async def receive(self) -> bytes:
        data = await self._received.get()
        if not data:
            raise LinkError(Reason.CLOSED, "pipe: broken")
        return data

    async def close(self) -> None:
        self.closed = True
        self._received.put_nowait(b"")
        self._carry.cancel()
        await asyncio.gather(self._carry, return_exceptions=True)
        await self._pump.stop()


class ReferencePeripheral(GattPeripheral):
    """Our firmware behind our GATT service."""

    name = "Glasses"
    address = "F1:00:00:00:00:77"
    services: ClassVar[dict[str, dict[str, str]]] = {
        SERVICE_UUID: {WRITE_UUID: "WRITE,WRITE_WITHOUT_RESPONSE", NOTIFY_UUID: "NOTIFY"}
    }

    def __init__(self, air: Air, firmware: Firmware) -> None:
        super().__init__(air)
        self.pump = Pump(firmware, self._send)

    def on_write(self, uuid: str, data: bytes) -> None:
        self.pump.waiting += data

    async def _send(self, data: bytes) -> None:
        room = self.air.mtu - 3
        for start in range(0, len(data), room):
            await self.notify(NOTIFY_UUID, data[start : start + room])


@asynccontextmanager
async def way(name: str, key: bytes | None = None) -> AsyncIterator[Way]:
    """Opens the way called `name` (see the module) and closes it. `key`: for a device on a desk."""
    if name in ("host", "faulty", "open"):
        async with _in_process(name) as opened:
            yield opened
    elif name in ("pty", "tcp"):
        async with _plugged("pty" if name == "pty" else "tcp") as opened:
            yield opened
    elif name == "ble":
        async with _over_ble() as opened:
            yield opened
    elif name == "emulator":
        machine = Qemu(code=CODE, seed=random.SystemRandom().randbytes(16))
        patient = Config(key=key_of(CODE), silence_us=10_000_000, greeting_us=5_000_000)
        try:
            yield Way(partial(open_transport, machine.path), patient, reset=machine.reset)
        finally:
            machine.close()
    else:
        yield Way(partial(open_transport, name), Config(key=key))


@asynccontextmanager
async def _in_process(name: str) -> AsyncIterator[Way]:
    code = None if name == "open" else CODE
    firmware = Firmware(code=code, now_us=now_us(), seed=random.SystemRandom().getrandbits(32))
    harm = {"loss": 0.05, "duplication": 0.02, "flips": 0.02, "jitter_us": 20_000} if name == "faulty" else {}
    rng = random.Random(5)
    pipes: list[_Pipe] = []

    async def opened() -> Transport:
        pipes.append(_Pipe(firmware, Wire(rng, **harm), Wire(rng, **harm)))  # type: ignore[arg-type]
        return pipes[-1]

    async def drop() -> None:
        await pipes[-1].close()

    def reset() -> None:
        firmware.power_cycle(now_us())

    config = Config(key=key_of(code) if code else None)
    yield Way(opened, config, perfect=not harm, drop=drop, reset=reset, firmware=firmware)


@asynccontextmanager
async def _plugged(kind: Kind) -> AsyncIterator[Way]:
    firmware = Firmware(code=CODE, now_us=now_us(), seed=random.SystemRandom().getrandbits(32))
    plug = Plug(firmware, kind)
    await plug.plug_in()

    async def drop() -> None:
        await plug.unplug()
        await plug.plug_in()

    opener = partial(open_transport, plug.address)
    try:
        yield Way(opener, Config(key=key_of(CODE)), drop=drop, reset=lambda: _restart(firmware), firmware=firmware)
    finally:
        await plug.close()


@asynccontextmanager
async def _over_ble() -> AsyncIterator[Way]:
    firmware = Firmware(code=CODE, now_us=now_us(), seed=random.SystemRandom().getrandbits(32))
    air = Air()
    await air.start()
    peripheral = ReferencePeripheral(air, firmware)
    await peripheral.start()

    async def drop() -> None:
        await peripheral.drop()
        await peripheral.advertise()

    opener = partial(open_transport, "ble:Glasses", backends=air.backends)
    try:
        config = Config(key=key_of(CODE), greeting_us=4_000_000)
        yield Way(opener, config, drop=drop, reset=lambda: _restart(firmware), firmware=firmware)
    finally:
        await peripheral.pump.stop()


def _restart(firmware: Firmware) -> None:
    firmware.power_cycle(now_us())

"""Bluetooth LE through bleak: scan, one connected peripheral.

Every exception of bleak and of the system's Bluetooth becomes a LinkError here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakCharacteristicNotFoundError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from firmware_bridge.errors import LinkError, Reason

MAX_VALUE_BYTES = 512  # an attribute's largest value (Bluetooth Core, Vol 3 Part F 3.2.9)
_T = TypeVar("_T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backends:
    """bleak's backend classes; None is the system's own (BlueZ on Linux)."""

    client: type[BaseBleakClient] | None = None
    scanner: type[BaseBleakScanner] | None = None


SYSTEM = Backends()


@dataclass(frozen=True, slots=True)
class Seen:
    """One advertiser; `uuids` are its services in lower case, `device` is what `Peripheral.connect` takes."""

    address: str
    name: str
    rssi_dbm: int
    uuids: frozenset[str]
    device: BLEDevice


async def scan(duration_s: float = 5.0, *, backends: Backends = SYSTEM) -> list[Seen]:
    """Everybody who advertises within `duration_s`, strongest first. Raises LinkError: NOT_AVAILABLE."""
    with _link_errors("scanning for Bluetooth LE devices"):
        async with BleakScanner(backend=backends.scanner) as scanner:
            await asyncio.sleep(duration_s)
    found = scanner.discovered_devices_and_advertisement_data
    return sorted((_seen(device, adv) for device, adv in found.values()), key=lambda seen: -seen.rssi_dbm)


async def find(name_or_address: str, timeout_s: float = 10.0, *, backends: Backends = SYSTEM) -> Seen:
    """The first advertiser of that name or address. Raises LinkError: NOT_FOUND, NOT_AVAILABLE."""
    wanted = name_or_address.casefold()
    with _link_errors(f"looking for {name_or_address!r}"):
        async with BleakScanner(backend=backends.scanner) as scanner:
            try:
                async with asyncio.timeout(timeout_s):
                    async for device, adv in scanner.advertisement_data():
                        seen = _seen(device, adv)
                        if wanted in (seen.name.casefold(), seen.address.casefold()):
                            return seen
            except TimeoutError:
                pass  # as the stream of advertisements never ends, this is how nobody answers
    raise LinkError(
        Reason.NOT_FOUND,
        f"nobody called {name_or_address!r} advertised within {timeout_s:.0f} s: awake, near and free?",
    )


def _seen(device: BLEDevice, adv: AdvertisementData) -> Seen:
    uuids = frozenset(uuid.lower() for uuid in adv.service_uuids)
    return Seen(device.address, adv.local_name or device.name or "", adv.rssi, uuids, device)


class Peripheral:
    """One connected GATT peripheral. When the link is gone, whoever ended it, `dropped` is set and `on_drop` called.

    Use as `async with`. Every method raises LinkError: CLOSED, TIMEOUT, REFUSED, WRONG_PROTOCOL (no such
    characteristic).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dropped = asyncio.Event()
        self.on_drop: Callable[[], None] = lambda: None
        self._client: BleakClient | None = None
        self._receivers: dict[str, Callable[[bytes, int], None]] = {}

    @classmethod
    async def connect(
        cls, device: BLEDevice | str, *, timeout_s: float = 10.0, pair: bool = False, backends: Backends = SYSTEM
    ) -> Peripheral:
        """Connects, pairs where asked, and discovers the services, all within `timeout_s`.

        Raises LinkError: NOT_AVAILABLE (no radio), NOT_FOUND, TIMEOUT, REFUSED, CLOSED.
        """
        name = device if isinstance(device, str) else (device.name or device.address)
        peripheral = cls(name)
        client = BleakClient(
            device,
            disconnected_callback=lambda _: peripheral._lost(),
            timeout=timeout_s,
            pair=pair,
            backend=backends.client,
        )
        try:
            await _within(timeout_s, client.connect(), f"connecting to {name}")
        except LinkError:
            await _quietly_disconnect(client)
            raise
        peripheral._client = client
        return peripheral

    async def __aenter__(self) -> Peripheral:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def up(self) -> bool:
        """Whether the link is up."""
        return self._client is not None and not self.dropped.is_set() and self._client.is_connected

    def has(self, uuid: str) -> bool:
        """Whether the peripheral has the characteristic."""
        return self._connected().services.get_characteristic(uuid) is not None

    def max_write_bytes(self, uuid: str) -> int:
        """Bytes that one write carries, known from the negotiated MTU; 20 where the system does not tell."""
        return min(self._characteristic(uuid).max_write_without_response_size, MAX_VALUE_BYTES)

    async def read(self, uuid: str, *, timeout_s: float = 5.0) -> bytes:
        """The characteristic's value."""
        doing = f"{self.name}: reading {uuid}"
        return bytes(await _within(timeout_s, self._connected().read_gatt_char(self._characteristic(uuid)), doing))

    async def write(self, uuid: str, data: bytes, *, response: bool | None = None, timeout_s: float = 5.0) -> None:
        """Writes one value; with `response` (None: where the characteristic has it) returns once it is acknowledged.

        Raises also LinkError: TOO_LARGE over `max_write_bytes`, which would be cut or dropped without a word.
        """
        characteristic = self._characteristic(uuid)
        largest = self.max_write_bytes(uuid)
        if len(data) > largest:
            raise LinkError(
                Reason.TOO_LARGE, f"{self.name}: {len(data)} bytes in one write, the link carries {largest}"
            )
        if response is None:
            response = "write" in characteristic.properties
        doing = f"{self.name}: writing {uuid}"
        await _within(timeout_s, self._connected().write_gatt_char(characteristic, data, response=response), doing)

    async def subscribe(self, uuid: str, receive: Callable[[bytes, int], None], *, timeout_s: float = 5.0) -> None:
        """Calls `receive(value, t_ns)` for every notification, with the monotonic time of its arrival.

        A second subscription takes the place of the first; a link that was lost brings nothing more.
        """

        def notified(_: BleakGATTCharacteristic, data: bytearray) -> None:
            if self._receivers.get(uuid) is receive and not self.dropped.is_set():
                receive(bytes(data), time.monotonic_ns())

        if self._receivers.get(uuid) is not None:
            await self.unsubscribe(uuid, timeout_s=timeout_s)
        self._receivers[uuid] = receive
        doing = f"{self.name}: subscribing to {uuid}"
        await _within(timeout_s, self._connected().start_notify(self._characteristic(uuid), notified), doing)

    async def unsubscribe(self, uuid: str, *, timeout_s: float = 5.0) -> None:
        """Ends the notifications of a characteristic."""
        self._receivers.pop(uuid, None)
        doing = f"{self.name}: unsubscribing from {uuid}"
        await _within(timeout_s, self._connected().stop_notify(self._characteristic(uuid)), doing)

    async def answer(self, waiting: Awaitable[_T], timeout_s: float, doing: str) -> _T:
        """What `waiting` brings. Raises LinkError: CLOSED if the link drops first, TIMEOUT after `timeout_s`."""
        answer, dropped = asyncio.ensure_future(waiting), asyncio.ensure_future(self.dropped.wait())
        try:
            await asyncio.wait({answer, dropped}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if dropped.done():
                raise LinkError(Reason.CLOSED, f"{self.name}: {doing}: the link went down")
            raise LinkError(Reason.TIMEOUT, f"{self.name}: {doing}: no answer within {timeout_s:.1f} s")
        finally:
            answer.cancel()
            dropped.cancel()

    async def close(self) -> None:
        """Disconnects; never raises, as there is nothing left to do about a link that will not close."""
        client, self._client = self._client, None
        if client is not None:
            await _quietly_disconnect(client)
        self._lost()

    def _lost(self) -> None:
        if not self.dropped.is_set():
            self.dropped.set()
            self.on_drop()

    def _connected(self) -> BleakClient:
        if self._client is None or not self.up:
            raise LinkError(Reason.CLOSED, f"{self.name}: the link is down")
        return self._client

    def _characteristic(self, uuid: str) -> BleakGATTCharacteristic:
        found = self._connected().services.get_characteristic(uuid)
        if found is None:
            raise LinkError(
                Reason.WRONG_PROTOCOL,
                f"{self.name} has no characteristic {uuid}: not this product, or another firmware",
            )
        return found


async def _within(timeout_s: float, action: Awaitable[_T], doing: str) -> _T:
    with _link_errors(doing):
        async with asyncio.timeout(timeout_s):
            return await action


async def _quietly_disconnect(client: BleakClient) -> None:
    try:
        await _within(5.0, client.disconnect(), "disconnecting")
    except LinkError as error:
        log.debug("left to the system to close: %s", error)


@contextmanager
def _link_errors(doing: str) -> Iterator[None]:
    """bleak's many exceptions as LinkErrors; the order matters, most are BleakErrors."""
    try:
        yield
    except TimeoutError as error:
        raise LinkError(Reason.TIMEOUT, f"{doing}: no answer in time; is the device near, awake and free?") from error
    except BleakBluetoothNotAvailableError as error:
        raise LinkError(
            Reason.NOT_AVAILABLE, f"{doing}: Bluetooth is off, blocked or absent ({error.args[0]})"
        ) from error
    except OSError as error:  # no D-Bus socket, so no BlueZ
        raise LinkError(
            Reason.NOT_AVAILABLE,
            f"{doing}: no Bluetooth service on this machine ({error}); on Debian: apt install bluez",
        ) from error
    except (BleakDeviceNotFoundError, BleakCharacteristicNotFoundError) as error:
        raise LinkError(Reason.NOT_FOUND, f"{doing}: {error}") from error
    except BleakGATTProtocolError as error:
        raise LinkError(
            Reason.REFUSED, f"{doing}: the device refused ({error}); is it paired with this machine?"
        ) from error
    except BleakError as error:
        raise LinkError(Reason.CLOSED, f"{doing}: {error}") from error

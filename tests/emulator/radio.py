"""An emulated Bluetooth radio in one process: bleak backends over bumble's LocalLink.

The real BleakClient and BleakScanner run above it; below it are bumble's whole host stacks (GATT, ATT, L2CAP, HCI)
and emulated controllers. LocalLink loses nothing; the emulated peripherals drop what a test wants lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_16
from bumble import att, core, gatt, hci
from bumble.controller import Controller
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.host import Host
from bumble.link import LocalLink

from firmware_bridge.ble import Backends

_PROPERTIES: dict[gatt.Characteristic.Properties, CharacteristicPropertyName] = {
    gatt.Characteristic.Properties.READ: "read",
    gatt.Characteristic.Properties.WRITE: "write",
    gatt.Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    gatt.Characteristic.Properties.NOTIFY: "notify",
}


class Air:
    """One radio space with one central, whose `backends` bleak takes."""

    def __init__(self) -> None:
        self.link = LocalLink()
        self.central = _device(self.link, "central", "F0:F0:F0:F0:F0:F0")
        self.connecting = asyncio.Lock()  # bumble makes one connection at a time
        self.mtu = 247
        air = self

        class Client(_Client):
            pass

        class Scanner(_Scanner):
            pass

        Client.air = Scanner.air = air
        self.backends = Backends(client=Client, scanner=Scanner)

    async def start(self) -> None:
        await self.central.power_on()


def _device(link: LocalLink, name: str, address: str) -> Device:
    host = Host()
    host.controller = Controller(name, link=link)
    return Device(name=name, address=hci.Address(address), host=host)


class GattPeripheral:
    """An advertising peripheral with the services given: {service: {characteristic: read value, or "write", "notify"}}.

    `on_write(uuid, value)` gets what is written; `notify(uuid, value)` sends. Subclasses behave like a product.
    It advertises again when the central has ended the link; after `drop` only once `advertise` is called.
    """

    name = "peripheral"
    address = "F1:F1:F1:F1:F1:F1"
    services: ClassVar[dict[str, dict[str, str]]] = {}
    needs_bond = False

    def __init__(self, air: Air) -> None:
        self.air = air
        self.values: dict[str, bytes] = {}
        self.device = _device(air.link, self.name, self.address)
        self.connection: Connection | None = None
        self.subscribed: set[str] = set()
        self.written: list[tuple[str, bytes]] = []
        self._dropping = False
        self._advertising: asyncio.Task[None] | None = None
        self._characteristics: dict[str, gatt.Characteristic[Any]] = {}
        for service, characteristics in self.services.items():
            made = [self._characteristic(uuid, kinds) for uuid, kinds in characteristics.items()]
            self.device.add_service(gatt.Service(core.UUID(service), made))
        self.device.on(self.device.EVENT_CONNECTION, self._connected)

    def _characteristic(self, uuid: str, kinds: str) -> gatt.Characteristic[Any]:
        properties = gatt.Characteristic.Properties.from_string(kinds)
        value = gatt.CharacteristicValue(
            read=lambda _: self.read(uuid), write=lambda _, data: self._write(uuid, bytes(data))
        )
        allowed = gatt.Characteristic.Permissions.READABLE | gatt.Characteristic.Permissions.WRITEABLE
        if self.needs_bond:
            allowed |= gatt.Characteristic.Permissions.WRITE_REQUIRES_ENCRYPTION
        made: gatt.Characteristic[Any] = gatt.Characteristic(core.UUID(uuid), properties, allowed, value)

        def subscription(_: Connection, notify: bool, __: bool) -> None:
            (self.subscribed.add if notify else self.subscribed.discard)(uuid)

        made.on(made.EVENT_SUBSCRIPTION, subscription)
        self._characteristics[uuid] = made
        return made

    async def start(self) -> None:
        await self.device.power_on()
        await self.advertise()

    async def advertise(self) -> None:
        fields = [(core.AdvertisingData.COMPLETE_LOCAL_NAME, self.name.encode())]
        if len(self.name) <= 8:  # an advertisement has 31 bytes, flags and UUID take 21
            service = bytes(core.UUID(next(iter(self.services))))
            fields.append((core.AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, service))
        await self.device.start_advertising(
            advertising_data=bytes(core.AdvertisingData(fields)),
            advertising_interval_min=20,
            advertising_interval_max=20,
        )

    def _connected(self, connection: Connection) -> None:
        self.connection, self._dropping = connection, False
        self.subscribed.clear()
        connection.on(connection.EVENT_DISCONNECTION, self._disconnected)

    def _disconnected(self, _: int) -> None:
        self.connection = None
        self.subscribed.clear()
        if not self._dropping:  # bumble's reason is the same at both ends
            self._advertising = asyncio.create_task(self.advertise())
        self.on_drop()

    def on_drop(self) -> None:
        """Called when the link went down."""

    def read(self, uuid: str) -> bytes:
        """The value of a readable characteristic."""
        return self.values[uuid]

    def _write(self, uuid: str, data: bytes) -> None:
        self.written.append((uuid, data))
        self.on_write(uuid, data)

    def on_write(self, uuid: str, data: bytes) -> None:
        """Called when something was written."""

    async def notify(self, uuid: str, data: bytes) -> None:
        """Sends to the central if it subscribed; awaiting it keeps the order."""
        if uuid in self.subscribed and self.connection is not None:
            await self.device.notify_subscriber(self.connection, self._characteristics[uuid], data)

    async def drop(self) -> None:
        """Ends the link from the peripheral's side; it no longer advertises."""
        if self.connection is not None:
            self._dropping = True
            await self.connection.disconnect()


class _Client(BaseBleakClient):
    air: Air

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else 23

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        async with self.air.connecting:
            try:
                self._connection = await self.air.central.connect(self.address, timeout=self._timeout)
            except core.TimeoutError as error:
                raise BleakDeviceNotFoundError(self.address, f"{self.address} does not answer") from error
        self._connection.on(self._connection.EVENT_DISCONNECTION, self._disconnected)
        peer = Peer(self._connection)
        with _bleak_errors():
            if pair:
                await self._connection.pair()
            await peer.request_mtu(self.air.mtu)
            await peer.discover_all()
        self.services = self._collection(peer)

    def _disconnected(self, _: int) -> None:
        self._connection = None
        if self._disconnected_callback:
            self._disconnected_callback()

    def _collection(self, peer: Peer) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for service in peer.services:
            made = BleakGATTService(service, service.handle, _text(service.uuid))
            collection.add_service(made)
            for proxy in service.characteristics:
                properties: list[CharacteristicPropertyName] = [
                    name for flag, name in _PROPERTIES.items() if proxy.properties & flag
                ]
                collection.add_characteristic(
                    BleakGATTCharacteristic(
                        proxy, proxy.handle, _text(proxy.uuid), properties, lambda: self.mtu_size - 3, made
                    )
                )
        return collection

    async def disconnect(self) -> None:
        if self._connection:
            await self._connection.disconnect()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        assert self._connection
        await self._connection.pair()

    async def unpair(self) -> None:
        raise NotImplementedError

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **kwargs: Any) -> bytearray:
        with _bleak_errors():
            return bytearray(await characteristic.obj.read_value())

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        with _bleak_errors():
            await characteristic.obj.write_value(bytes(data), with_response=response)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        with _bleak_errors():
            await characteristic.obj.subscribe(lambda value: callback(bytearray(value)))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        with _bleak_errors():
            await characteristic.obj.unsubscribe()

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **kwargs: Any) -> bytearray:
        raise NotImplementedError

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        raise NotImplementedError


class _Scanner(BaseBleakScanner):
    air: Air

    def __init__(self, detection_callback: Any, service_uuids: list[str] | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices = {}
        self.air.central.on(Device.EVENT_ADVERTISEMENT, self._advertisement)
        await self.air.central.start_scanning(active=False)  # LocalLink brings no scan responses

    async def stop(self) -> None:
        self.air.central.remove_listener(Device.EVENT_ADVERTISEMENT, self._advertisement)
        await self.air.central.stop_scanning()

    def _advertisement(self, advertisement: Advertisement) -> None:
        data = advertisement.data
        name = data.get(core.AdvertisingData.COMPLETE_LOCAL_NAME)
        uuids = data.get(core.AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or []
        address = advertisement.address.to_string(False)
        adv = AdvertisementData(str(name) if name else None, {}, {}, [_text(u) for u in uuids], None, -60, ())
        device = self.create_or_update_device(address, address, adv.local_name, None, adv)
        self.call_detection_callbacks(device, adv)


def _text(uuid: core.UUID) -> str:
    return uuid.to_hex_str("-").lower() if len(uuid.to_bytes()) == 16 else normalize_uuid_16(int(uuid.to_hex_str(), 16))


@contextmanager
def _bleak_errors() -> Iterator[None]:
    """Raises what a platform's backend raises; bumble cancels a request that a disconnection cuts off."""
    try:
        yield
    except att.ATT_Error as error:
        raise BleakGATTProtocolError(error.error_code) from error
    except (core.InvalidStateError, core.ProtocolError, core.TimeoutError) as error:
        raise BleakError(str(error)) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BleakError("disconnected while waiting for the answer") from None

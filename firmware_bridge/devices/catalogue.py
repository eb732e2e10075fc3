"""Recognises glasses among Bluetooth advertisers, with what each can do, and makes the session for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from firmware_bridge import transport
from firmware_bridge.ble import SYSTEM, Backends, Seen
from firmware_bridge.devices import even_g1_wire, frame_wire, omi_glass
from firmware_bridge.devices.device import Capabilities, Device
from firmware_bridge.devices.even_g1 import EvenG1
from firmware_bridge.devices.frame import Frame
from firmware_bridge.devices.omi_glass import OmiGlass
from firmware_bridge.errors import LinkError, Reason

REFERENCE = Capabilities("reference glasses", frozenset())  # as far as advertising says


@dataclass(frozen=True, slots=True)
class Glasses:
    """Glasses in reach; two parts for a G1, left first. `capabilities` are of the product as far as one can see."""

    parts: tuple[Seen, ...]
    capabilities: Capabilities
    note: str = ""

    @property
    def name(self) -> str:
        """The name it advertises, or its address."""
        return self.parts[0].name or self.parts[0].address

    @property
    def rssi_dbm(self) -> int:
        """Of the weakest part."""
        return min(part.rssi_dbm for part in self.parts)


def recognise(seen: Iterable[Seen]) -> list[Glasses]:
    """The glasses among all advertisers, in their order; a G1 needs both its arms, and no third of the same number."""
    seen = list(seen)
    names = [one.name for one in seen]
    by_name = dict(zip(names, seen, strict=True))
    found = [glasses for one in seen if (glasses := _alone(one)) is not None]
    pairs = even_g1_wire.pair(names)
    found += [Glasses((by_name[left], by_name[right]), even_g1_wire.CAPABILITIES) for left, right in pairs]
    paired = {name for names in pairs for name in names}
    lonely = [one for one in seen if even_g1_wire.ARM_NAME.match(one.name) and one.name not in paired]
    why = even_g1_wire.why_alone
    found += [Glasses((one,), even_g1_wire.CAPABILITIES, why(one.name, names)) for one in lonely]
    return found


def _alone(one: Seen) -> Glasses | None:
    if omi_glass.SERVICE in one.uuids:
        return Glasses((one,), omi_glass.GLASS, "photo only on OMI Glass, which it says once connected")
    if frame_wire.SERVICE in one.uuids:
        return Glasses((one,), frame_wire.HALO if one.name.startswith("Halo") else frame_wire.FRAME)
    if transport.SERVICE_UUID in one.uuids:
        how = f"glasses link ble:{one.name or one.address}"
        return Glasses((one,), REFERENCE, f"says what it can do once connected: {how}")
    return None


def session(glasses: Glasses, *, backends: Backends = SYSTEM) -> Device:
    """The session for glasses in reach.

    Raises LinkError: NOT_FOUND (an arm is missing, or nobody can tell which it is), NOT_SUPPORTED (the reference link).
    """
    if glasses.capabilities is even_g1_wire.CAPABILITIES:
        if len(glasses.parts) != 2:
            raise LinkError(Reason.NOT_FOUND, f"{glasses.name}: {glasses.note}")
        left, right = glasses.parts
        return EvenG1(left.device, right.device, backends=backends)
    if glasses.capabilities is omi_glass.GLASS:
        return OmiGlass(glasses.parts[0].device, backends=backends)
    if glasses.capabilities in (frame_wire.FRAME, frame_wire.HALO):
        return Frame(glasses.parts[0].device, backends=backends)
    raise LinkError(Reason.NOT_SUPPORTED, f"{glasses.name} speaks the reference link: {glasses.note}")

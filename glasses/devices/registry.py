"""Glasses of other packages: found by the entry point group `glasses.devices`.

An entry point's name is the scheme of its addresses: `glasses run --link acme:left` opens the entry point `acme`. Its
object is called with the address, the devices of this machine and `on_touch`, and returns devices.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Protocol

from glasses.devices.local import DeviceFactory, LocalDevices
from glasses.errors import LinkError, Reason
from glasses.types import Button

ENTRY_POINTS = "glasses.devices"


class PluginDevices(DeviceFactory, Protocol):
    """Devices of another package, connected until `close`."""

    def close(self) -> None:
        """Ends the connection."""
        ...


# (address, this machine's devices, called with each touch) -> devices. It raises LinkError or SensorError.
OpenDevices = Callable[[str, LocalDevices, Callable[[Button], None]], PluginDevices]


def opener_of(address: str) -> OpenDevices | None:
    """What opens `address`; None where no installed package has its scheme. Raises LinkError(NOT_INSTALLED)."""
    scheme, colon, _ = address.partition(":")
    found = next(iter(entry_points(group=ENTRY_POINTS, name=scheme)), None) if colon else None
    if found is None:
        return None
    try:
        return found.load()
    except Exception as error:  # anybody's code
        raise LinkError(Reason.NOT_INSTALLED, f"devices {scheme} of {found.value} cannot be loaded: {error}") from error

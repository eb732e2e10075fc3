"""Keeps one device connected: an explicit state machine with capped backoff.

CONNECTING --ok--> UP --dropped--> WAITING --time--> CONNECTING
    '----failed, can get better----^
    '----failed for good: LinkError
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from firmware_bridge.devices.device import Device, LinkChanged
from firmware_bridge.errors import LinkError, Reason

# What trying again does not change: another product, a library that is not installed, arguments.
_FOR_GOOD = (Reason.WRONG_PROTOCOL, Reason.NOT_SUPPORTED, Reason.BAD_INPUT)


class State(StrEnum):
    """Where the connection is."""

    CONNECTING = "connecting"
    UP = "up"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits `first_s`, doubled for each failure in a row up to `longest_s`, each shortened at random by up to half."""

    first_s: float = 0.5
    longest_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """How long to wait after so many failures in a row (from 1)."""
        return min(self.longest_s, self.first_s * 2 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)


async def keep_connected(
    device: Device,
    *,
    backoff: Backoff | None = None,
    on_change: Callable[[State, str], None] = lambda _state, _why: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Connects, and connects again after every drop, until cancelled; then closes.

    Not for ReferenceGlasses: their Session reconnects by itself within a second, because only the link knows which
    messages it has promised and must send again. A product's own protocol promises nothing across a drop, so
    `connect` sets it up anew.

    Each change goes to the device's inbox as LinkChanged and to `on_change`, with the reason.
    Raises LinkError for what trying again does not change.
    """
    waits, failures = backoff or Backoff(), 0
    try:
        while True:
            on_change(State.CONNECTING, "")
            try:
                await device.connect()
            except LinkError as error:
                if error.reason in _FOR_GOOD:
                    raise
                why = str(error)
            else:
                failures = 0
                device.inbox.put(LinkChanged(time.monotonic_ns(), up=True))
                on_change(State.UP, "")
                why = await device.wait_dropped()
            failures += 1
            wait_s = waits.wait_s(failures)
            device.inbox.put(LinkChanged(time.monotonic_ns(), up=False, why=why, retry_in_s=wait_s))
            on_change(State.WAITING, why)
            await sleep(wait_s)
    finally:
        await device.close()

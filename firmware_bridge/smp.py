"""Firmware update over the link: smpclient speaks SMP, the link carries it.

An update has three steps: `upload` into the slot that does not run, `try_once` (the device restarts into it), and
`confirm` once it has proved itself. Without `confirm` the next reset brings the old firmware back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

from smp.error import MGMT_ERR
from smp.message import Response
from smpclient import SMPClient
from smpclient.exceptions import SMPClientException
from smpclient.generics import error
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite
from smpclient.requests.os_management import ResetWrite

from firmware_bridge import image as images
from firmware_bridge import protocol
from firmware_bridge.errors import LinkError, Reason
from firmware_bridge.link import BULK
from firmware_bridge.session import Session

_BUFFER_BYTES = 640  # of the device's SMP server
_FIRST_S = 60.0  # the first part of an upload waits for a slot to be erased
_ERRORS: dict[int, str] = {  # of core/update.c, numbered as Zephyr's mcumgr does
    MGMT_ERR.EBADSTATE: "what runs is itself on trial; update again once it is confirmed, or after a reset",
    MGMT_ERR.EMSGSIZE: "it is larger than a slot",
    MGMT_ERR.ECORRUPT: "it is damaged, or not signed with this device's key",
}
_T = TypeVar("_T", bound=Response)


class Device(Protocol):
    """The owner of the link (devices/reference.py). `smp` gets every SMP packet that arrives."""

    session: Session
    smp: asyncio.Queue[bytes]


class LinkTransport:
    """smpclient's SMPTransport, over a session that is up already."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._smp_server_transport_buffer_size: int | None = _BUFFER_BYTES

    async def connect(self, address: str, timeout_s: float) -> None:
        """Waits for the link."""
        await self._device.session.wait_up(timeout_s)

    async def disconnect(self) -> None:
        """Does nothing: the link belongs to somebody else."""

    async def send(self, data: bytes) -> None:
        """One SMP packet."""
        await self._device.session.send(BULK, protocol.encode("smp", data, reserved=0))

    async def receive(self) -> bytes:
        """The next SMP packet."""
        return await self._device.smp.get()

    async def send_and_receive(self, data: bytes) -> bytes:
        """A request's answer; what came late for earlier ones is let go."""
        while not self._device.smp.empty():
            self._device.smp.get_nowait()
        await self.send(data)
        return await self.receive()

    def initialize(self, smp_server_transport_buffer_size: int) -> None:
        """What the server can take at once."""
        self._smp_server_transport_buffer_size = smp_server_transport_buffer_size

    @property
    def mtu(self) -> int:
        """Bytes of one SMP packet."""
        return protocol.max_data("smp")

    @property
    def max_unencoded_size(self) -> int:
        """As smpclient asks for it."""
        return self._smp_server_transport_buffer_size or self.mtu


class Updater:
    """The firmware of one device."""

    def __init__(self, device: Device, *, timeout_s: float = 10.0) -> None:
        self._client = SMPClient(LinkTransport(device), "link", timeout_s)
        self._timeout_s = timeout_s

    async def slots(self) -> list[dict[str, object]]:
        """What the device says of its slots: slot, version, hash, active, confirmed, pending."""
        response = await self._ask(ImageStatesRead())
        return [state.model_dump() for state in response.images]

    async def upload(self, image: bytes, progress: Callable[[int], None] = lambda _: None) -> bytes:
        """Writes an image into the slot that does not run; returns its hash. `progress` gets bytes written.

        Raises LinkError: CORRUPT (no image, or the device found it damaged or not signed for it), REFUSED, TIMEOUT.
        """
        digest = images.hash_of(image)
        try:
            async for written in self._client.upload(
                image,
                first_timeout_s=max(_FIRST_S, self._timeout_s),
                subsequent_timeout_s=self._timeout_s,
                use_sha=False,
            ):
                progress(written)
        except SMPClientException as failed:
            raise LinkError(Reason.REFUSED, f"the device does not take this firmware: {_said(failed)}") from failed
        except TimeoutError as failed:
            raise LinkError(Reason.TIMEOUT, f"the device does not go on with the update: {failed}") from failed
        if digest not in [slot["hash"] for slot in await self.slots()]:
            raise LinkError(Reason.CORRUPT, "the device holds no such image after the upload")
        return digest

    async def try_once(self, digest: bytes) -> None:
        """Restarts into the image, on trial. The link drops and comes up again by itself."""
        await self._ask(ImageStatesWrite(hash=digest, confirm=False))
        await self._ask(ResetWrite())

    async def confirm(self) -> None:
        """Keeps the firmware that runs now."""
        await self._ask(ImageStatesWrite(hash=None, confirm=True))

    async def reset(self) -> None:
        """Restarts; a trial that was not confirmed ends with it."""
        await self._ask(ResetWrite())

    async def _ask(self, request):
        try:
            response = await self._client.request(request)
        except TimeoutError as failed:
            raise LinkError(Reason.TIMEOUT, f"firmware update: {failed}") from failed
        except SMPClientException as failed:
            raise LinkError(Reason.CORRUPT, f"firmware update: {failed}") from failed
        if error(response):
            raise LinkError(Reason.REFUSED, f"firmware update: the device says {response}")
        return response


def _said(failed: SMPClientException) -> str:
    """The device's error code in words; smpclient has it only in its text."""
    code = re.search(r"\brc=(?:<[\w.]+: )?(\d+)", str(failed))
    return _ERRORS.get(int(code[1]), f"its error code is {code[1]}") if code else str(failed)

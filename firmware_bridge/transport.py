"""Byte pipes to the glasses: serial, TCP, Bluetooth LE or a pty, chosen by an address string.

A transport may lose, cut or join what it carries; everything above it (framing, link) copes with any chunking.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pty
import re
import socket
import stat
import termios
import tty
from typing import Protocol

import serial

from firmware_bridge.ble import SYSTEM, Backends, Peripheral, find
from firmware_bridge.errors import LinkError, Reason

CHUNK_BYTES = 16_384  # the most that one receive() returns
BAUD = 1_000_000  # what every board here can do; a USB or an emulated port goes as fast as it likes
MIN_BAUD, MAX_BAUD = 9_600, 4_000_000
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 0.5
SERVICE_UUID = "c9a50001-6e1f-4c43-9d4b-5a0d3b7f6a10"  # ours: one byte stream each way
WRITE_UUID = "c9a50002-6e1f-4c43-9d4b-5a0d3b7f6a10"  # host writes
NOTIFY_UUID = "c9a50003-6e1f-4c43-9d4b-5a0d3b7f6a10"  # device notifies
MAX_QUEUED_BYTES = 1 << 20  # of notifications nobody has received yet
_SERIAL = re.compile(r"^(?:serial:)?(/[^@]+)(?:@([0-9]{1,7}))?$")
_HOST_PORT = re.compile(r"^(?:tcp:)?(\[[0-9A-Fa-f:.]+\]|[^:/\s]+):([0-9]{1,5})$")


class Transport(Protocol):
    """One open byte pipe. A single task receives; a single task sends."""

    async def send(self, data: bytes) -> None:
        """Returns when the pipe has room for more, so that a slow wire slows its sender. Raises LinkError: CLOSED."""
        ...

    async def receive(self) -> bytes:
        """The next bytes, at least one and at most CHUNK_BYTES. Raises LinkError: CLOSED when there will be no more."""
        ...

    async def close(self) -> None:
        """Ends the pipe; a waiting receive() raises CLOSED. May be called twice."""
        ...


def check_address(address: str) -> None:
    """Raises LinkError BAD_INPUT for what `open_transport` could never open."""
    serial_port, host_port = _SERIAL.match(address), _HOST_PORT.match(address)
    if len(address) > 4 and address.startswith("ble:"):
        return
    if serial_port and not MIN_BAUD <= int(serial_port[2] or BAUD) <= MAX_BAUD:
        raise LinkError(Reason.BAD_INPUT, f"{address!r}: a serial port runs at {MIN_BAUD} to {MAX_BAUD} bit/s")
    if not serial_port and not (host_port and 0 < int(host_port[2]) < 65_536):
        form = "/dev/ttyACM0, /dev/ttyACM0@2000000, HOST:PORT or ble:NAME"
        raise LinkError(Reason.BAD_INPUT, f"{address!r} is no address of a link: give {form}")


async def open_transport(address: str, *, backends: Backends = SYSTEM) -> Transport:
    """Opens `/dev/ttyACM0`, `serial:/dev/...`, either with `@BAUD`, `HOST:PORT`, `tcp:...` or `ble:NAME-OR-ADDRESS`.

    Raises LinkError: BAD_INPUT (no such form, no serial port, no such host), NOT_FOUND, BUSY, REFUSED, TIMEOUT,
    NOT_AVAILABLE.
    """
    check_address(address)
    if address.startswith("ble:"):
        return await _open_ble(address[4:], backends)
    if serial_port := _SERIAL.match(address):
        return _open_serial(serial_port[1], int(serial_port[2] or BAUD))
    host, port = address.removeprefix("tcp:").rsplit(":", 1)
    return await _open_tcp(host.strip("[]"), int(port))


class FdTransport:
    """A non-blocking file descriptor: a serial port, or one end of a pty. Owns and closes the descriptor."""

    def __init__(self, fd: int, name: str) -> None:
        os.set_blocking(fd, False)
        self._fd, self._name = fd, name
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()

    async def send(self, data: bytes) -> None:
        """See Transport."""
        view = memoryview(data)
        while view:
            self._check()
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError as error:
                raise LinkError(Reason.CLOSED, f"{self._name}: {error.strerror}; unplugged?") from error

    async def receive(self) -> bytes:
        """See Transport."""
        while True:
            self._check()
            try:
                data = os.read(self._fd, CHUNK_BYTES)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
                continue
            except OSError as error:
                raise LinkError(Reason.CLOSED, f"{self._name}: {error.strerror}; unplugged?") from error
            if not data:
                raise LinkError(Reason.CLOSED, f"{self._name}: the other end is closed")
            return data

    async def close(self) -> None:
        """See Transport."""
        if not self._closed.is_set():
            self._closed.set()
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            os.close(self._fd)

    def _check(self) -> None:
        if self._closed.is_set():
            raise LinkError(Reason.CLOSED, f"{self._name}: closed")

    async def _ready(self, add, remove) -> None:
        ready = self._loop.create_future()
        add(self._fd, lambda: ready.done() or ready.set_result(None))
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({ready, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
            if not self._closed.is_set():
                remove(self._fd)


def open_pty() -> tuple[FdTransport, str]:
    """One end of a new pseudo-terminal in raw mode, and the path that the other side opens as a serial port."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    path = os.ttyname(theirs)
    os.close(theirs)
    return FdTransport(ours, f"pty {path}"), path


def _open_serial(path: str, baud: int) -> FdTransport:
    try:
        port = serial.Serial(path, baud, timeout=0, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        if _is_something_else(path):
            raise LinkError(Reason.BAD_INPUT, f"{path} is no serial port: `glasses devices` lists them") from error
        if isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.EBUSY):
            raise LinkError(Reason.BUSY, f"{path}: another program has it open") from error
        if isinstance(error, OSError) and error.errno == errno.ENOENT:
            raise LinkError(Reason.NOT_FOUND, f"there is no {path}: `glasses devices` lists serial ports") from error
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        if isinstance(error, OSError) and error.errno == errno.EACCES:
            why += "; on Debian the group dialout may: sudo adduser $USER dialout, then log in again"
        raise LinkError(Reason.NOT_FOUND, f"{path}: cannot be opened as a serial port: {why}") from error
    fd = os.dup(port.fileno())
    port.close()  # the line's settings stay; the descriptor is ours
    settings = termios.tcgetattr(fd)
    settings[6][termios.VMIN] = 1  # pyserial leaves 0, which makes "nothing yet" look like the end
    termios.tcsetattr(fd, termios.TCSANOW, settings)
    return FdTransport(fd, path)


def _is_something_else(path: str) -> bool:
    """Whether a file, a folder or a device is there that is no terminal; False where nobody can tell."""
    try:
        if not stat.S_ISCHR(os.stat(path).st_mode):
            return True
        fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not os.isatty(fd)
    finally:
        os.close(fd)


class _TcpTransport:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        self._reader, self._writer, self._name = reader, writer, name
        writer.transport.set_write_buffer_limits(high=4096)  # little in front of what is urgent

    async def send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise LinkError(Reason.CLOSED, f"{self._name}: {error}") from error

    async def receive(self) -> bytes:
        try:
            data = await self._reader.read(CHUNK_BYTES)
        except OSError as error:
            raise LinkError(Reason.CLOSED, f"{self._name}: {error}") from error
        if not data:
            raise LinkError(Reason.CLOSED, f"{self._name}: the other end is closed")
        return data

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):  # it was broken before; closed is closed
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        self._writer.transport.abort()  # what the other end does not take is not waited for


async def _open_tcp(host: str, port: int) -> _TcpTransport:
    name = f"{host}:{port}"
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise LinkError(Reason.TIMEOUT, f"{name}: no answer within {CONNECT_TIMEOUT_S:.0f} s") from error
    except socket.gaierror as error:
        reason = Reason.BAD_INPUT if error.errno == socket.EAI_NONAME else Reason.NOT_FOUND  # no name server: may come
        raise LinkError(reason, f"{name}: no address is known for {host!r} ({error.strerror})") from error
    except OSError as error:
        # asyncio says again who was called, and joins the errors of several addresses into one that has no errno.
        why = os.strerror(error.errno) if error.errno else "none of its addresses can be reached"
        raise LinkError(Reason.REFUSED, f"{name}: {why}; is anybody listening there?") from error
    return _TcpTransport(reader, writer, name)


class _BleTransport:
    """Bytes as writes and notifications. Notifications may be lost above the radio: the link notices and asks again."""

    def __init__(self, peripheral: Peripheral) -> None:
        self._peripheral = peripheral
        self._chunk_bytes = peripheral.max_write_bytes(WRITE_UUID)
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._queued_bytes = 0

    async def start(self) -> None:
        await self._peripheral.subscribe(NOTIFY_UUID, self._notified)

    def _notified(self, data: bytes, _t_ns: int) -> None:
        if self._queued_bytes + len(data) <= MAX_QUEUED_BYTES:
            self._queued_bytes += len(data)
            self._received.put_nowait(data)

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), self._chunk_bytes):
            await self._peripheral.write(WRITE_UUID, data[start : start + self._chunk_bytes], response=False)

    async def receive(self) -> bytes:
        waiting = asyncio.ensure_future(self._received.get())
        dropped = asyncio.ensure_future(self._peripheral.dropped.wait())
        try:
            await asyncio.wait({waiting, dropped}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise LinkError(Reason.CLOSED, f"{self._peripheral.name}: the radio link dropped")
            data = waiting.result()
        finally:
            waiting.cancel()
            dropped.cancel()
        self._queued_bytes -= len(data)
        return data

    async def close(self) -> None:
        await self._peripheral.close()


async def _open_ble(name: str, backends: Backends) -> _BleTransport:
    seen = await find(name, CONNECT_TIMEOUT_S, backends=backends)
    peripheral = await Peripheral.connect(seen.device, backends=backends)
    transport = _BleTransport(peripheral)
    try:
        await transport.start()
    except LinkError:
        await peripheral.close()
        raise
    return transport

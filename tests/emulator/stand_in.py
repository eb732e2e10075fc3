"""Emulated glasses: the firmware's board "host" behind a pseudo-terminal or a TCP port, in real time.

`python -m tests.emulator.stand_in --tcp 7700` prints its address and pairing code. Typed with Enter: t is a touch, l a
long touch, m mutes, and the name of a sound file is played to its microphone. In tests `StandIn` runs it in a thread,
because the command under test blocks the main thread.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from firmware_bridge.errors import LinkError
from firmware_bridge.security import new_pairing_code
from firmware_bridge.session import now_us
from firmware_bridge.transport import FdTransport, open_pty
from glasses.audio.sound_files import read_audio
from tests.emulator.firmware import Firmware

POLL_S = 0.001
CHUNK_BYTES = 16_384
WATCHDOG_S = 1.0
Kind = Literal["pty", "tcp"]


class Pump:
    """Runs a Firmware in real time: it receives the bytes in `waiting` and sends through `write`."""

    def __init__(self, firmware: Firmware, write: Callable[[bytes], Awaitable[None]]) -> None:
        self.waiting = bytearray()
        self._firmware, self._write = firmware, write
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        bites_us = 0
        while True:
            data, self.waiting = bytes(self.waiting), bytearray()
            if now_us() >= bites_us:
                self._firmware.watchdog(now_us())  # does nothing unless the firmware hangs
                bites_us = now_us() + int(WATCHDOG_S * 1e6)
            out = self._firmware.step(data, now_us())
            if out:
                with suppress(LinkError):  # nobody is there at the moment
                    await self._write(out)
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """Cancels the task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Plug:
    """The cable of a device. Its address stays the same over `unplug` and `plug_in`."""

    def __init__(self, firmware: Firmware, kind: Kind, port: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._kind, self._path, self._port = kind, Path(self._folder.name, "ttyGLASSES"), port
        self._pty: FdTransport | None = None
        self._reader: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._peer: asyncio.StreamWriter | None = None
        self._pump = Pump(firmware, self._write)

    @property
    def address(self) -> str:
        """The address for `glasses link`."""
        return str(self._path) if self._kind == "pty" else f"127.0.0.1:{self._port}"

    async def plug_in(self) -> None:
        """Connects the cable."""
        if self._kind == "tcp":
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]
            return
        self._pty, path = open_pty()
        self._path.symlink_to(path)
        self._reader = asyncio.create_task(self._read(self._pty))

    async def unplug(self) -> None:
        """Pulls the cable; the device keeps running."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._peer is not None:
            self._peer.close()
        if self._pty is not None and self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._path.unlink()
            await self._pty.close()
            self._pty = None

    async def close(self) -> None:
        """Unplugs the device and stops its firmware."""
        await self.unplug()
        await self._pump.stop()
        self._folder.cleanup()

    async def _write(self, data: bytes) -> None:
        if self._pty is not None:
            await self._pty.send(data)
        elif self._peer is not None:
            self._peer.write(data)
            with suppress(OSError):  # it has just gone
                await self._peer.drain()

    async def _read(self, port: FdTransport) -> None:
        while True:
            try:
                data = await port.receive()
            except LinkError:
                await asyncio.sleep(0.01)  # nobody has it open
                continue
            self._pump.waiting += data

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = writer
        with suppress(OSError):  # a reset by the other side is an end too
            while data := await reader.read(CHUNK_BYTES):
                self._pump.waiting += data
        if self._peer is writer:
            self._peer = None
        writer.close()


class StandIn:
    """A device with a pairing code, run by a thread inside the block: `with StandIn("pty") as glasses`."""

    def __init__(self, kind: Kind = "pty", *, code: str | None = "", port: int = 0) -> None:
        """`code`: the pairing code; "" makes a new one, None opens the link without a key."""
        self.code = new_pairing_code() if code == "" else code
        self.firmware = Firmware(code=self.code, seed=int.from_bytes(os.urandom(4)), now_us=now_us())
        self._kind: Kind = kind
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> StandIn:
        self._thread.start()
        self._plug = self.between_steps(lambda: Plug(self.firmware, self._kind, self._port))
        self.plug_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._plug.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """The address for `glasses link`; the same after `unplug` and `plug_in`."""
        return self._plug.address

    def plug_in(self) -> None:
        """Connects the cable."""
        self._do(self._plug.plug_in())

    def unplug(self) -> None:
        """Pulls the cable."""
        self._do(self._plug.unplug())

    def between_steps(self, what: Callable[[], Any]) -> Any:
        """Calls `what` between two steps of the firmware and returns its result."""

        async def run() -> Any:
            return what()

        return self._do(run())

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)


class _SpeakerReport:
    """Prints a line for each second of sound that the speaker got."""

    def __init__(self) -> None:
        self._n = 0

    def take(self, pcm: bytes) -> None:
        self._n += len(pcm) // 2
        if self._n >= 16_000:
            self._n -= 16_000
            print("the speaker has said another second", flush=True)


def _simulate_line(glasses: StandIn, line: str) -> None:
    """Touches, mutes or speaks to the glasses as the typed `line` says."""
    touches, firmware = {"t": 1, "d": 2, "l": 3}, glasses.firmware
    if line in touches:
        glasses.between_steps(lambda: firmware.simulate("touch", touches[line]))
    elif line in ("m", "u"):
        glasses.between_steps(lambda: firmware.simulate("mute", line == "m"))
    elif Path(line).is_file():
        pcm = np.round(read_audio(line) * 32767).astype(np.int16)
        glasses.between_steps(lambda: firmware.sound(pcm))
    else:
        print("t touch, d twice, l long, m mute, u unmute, or the name of a sound file to be heard", flush=True)


def main() -> None:
    """Runs one device until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tcp", type=int, metavar="PORT", help="behind that port of this machine, not a pty")
    parser.add_argument("--open", action="store_true", help="without a pairing code")
    args = parser.parse_args()
    kind: Kind = "pty" if args.tcp is None else "tcp"
    with StandIn(kind, code=None if args.open else "", port=args.tcp or 0) as glasses:
        print(glasses.address, glasses.code or "open", flush=True)
        glasses.between_steps(lambda: glasses.firmware.sound(np.zeros(1, np.int16)))
        glasses.between_steps(lambda: glasses.firmware.listen(_SpeakerReport().take))
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # in the background (&) it goes on without anybody's hands
        with suppress(KeyboardInterrupt):
            with suppress(OSError):
                for line in sys.stdin:
                    _simulate_line(glasses, line.strip())
            threading.Event().wait()


if __name__ == "__main__":
    main()

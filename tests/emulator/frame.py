"""An emulated Frame or Halo: it runs the Lua it is sent in a real Lua 5.4, with emulated devices."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar

from lupa.lua54 import LuaError, LuaRuntime

from firmware_bridge.devices import frame_wire as wire
from tests.emulator.radio import Air, GattPeripheral

_RADIO_QUEUE = 8  # notifications; frame.bluetooth.send fails while it is full, as on the device
_PRELUDE = """
local py = ...
frame = { HARDWARE_VERSION = py.hardware, bluetooth = {}, camera = {}, microphone = {}, display = {}, imu = {},
          speaker = {}, time = { utc = py.utc }, file = {}, battery_level = function() return 73.6 end,
          sleep = coroutine.yield }
print = function(...)
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  py.print(table.concat(words, '\\t'))
end
function frame.file.open(name, mode)
  if mode == 'w' then py.put(name, '') elseif not py.has(name) then error('cannot open ' .. name) end
  return { write = function(_, text) py.put(name, py.get(name) .. text) end, close = function() end }
end
frame.file.rename = py.rename
function require(name) return load(py.get(name .. '.lua'), name)() end
for _, part in ipairs({ 'bluetooth', 'camera', 'microphone', 'display', 'imu', 'speaker' }) do
  for name, method in pairs(py[part]) do frame[part][name] = method end
end
if py.hardware ~= 'Frame' then
  frame.button = { single = function(f) py.button = f end, double = function() end, long = function() end }
end
"""


class FramePeripheral(GattPeripheral):
    """`shown` are the lines in the lens; `files` survive a drop, what runs does too, as on the device."""

    services: ClassVar[dict[str, dict[str, str]]] = {
        wire.SERVICE: {wire.WRITE: "WRITE,WRITE_WITHOUT_RESPONSE", wire.NOTIFY: "NOTIFY"}
    }

    needs_bond = True

    def __init__(self, air: Air, *, jpeg: bytes = b"", halo: bool = False) -> None:
        self.name = "Halo 4F" if halo else "Frame 4F"
        self.address = "F3:00:00:00:00:01"
        if halo:
            both = {**self.services[wire.SERVICE], wire.SPEAKER: "WRITE_WITHOUT_RESPONSE"}
            self.services = {wire.SERVICE: both}  # type: ignore[misc] - this one alone
        super().__init__(air)
        self.halo = halo
        self.jpeg = jpeg
        self.files: dict[str, str] = {}
        self.shown: list[str] = []
        self.lines_run = 0
        self.speaking = False
        self.played = bytearray()
        self.packets_dropped = 0
        self.most_queued_bytes = 0
        self.lose: set[tuple[int, int]] = set()  # photograph by number, notification since it was asked for
        self.captures = 0
        self.camera_broken = False
        self.camera_slow = False
        self.listening = asyncio.Event()  # set whenever the microphone is started
        self._microphone: bytearray | None = None
        self._image = b""
        self._queued: list[bytes] = []
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._since_capture = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._threads: list[
            Any
        ] = []  # lupa's objects point into the thread they came from, which must not be collected
        self._callback: Any = None
        self.tap: Any = None
        self._lua = self._new_lua()

    async def start(self) -> None:
        await super().start()
        self._spawn(self._send())
        self._spawn(self._deliver())

    def speak(self, pcm: bytes) -> None:
        """Sound at the microphone."""
        if self._microphone is not None:
            self._microphone += pcm

    def on_write(self, uuid: str, data: bytes) -> None:
        if uuid == wire.SPEAKER:
            if self.speaking and len(data) % 2 == 0:
                self.played += data
        elif data == wire.BREAK:
            if self._running:
                self._running.cancel()
        elif data[:1] == wire.DATA:
            queued_bytes = sum(len(packet) + 2 for packet in self._queued)
            self.most_queued_bytes = max(self.most_queued_bytes, queued_bytes + len(data) + 1)
            if queued_bytes + len(data) + 1 > wire.HALO_QUEUE_BYTES:
                self.packets_dropped += 1
            else:
                self._queued.append(data[1:])
        else:
            self.lines_run += 1
            self._running = self._spawn(self._run(self._started, data.decode("latin-1")))

    def _started(self, source: str) -> Any:
        chunk: Any = self._lua.compile(source)
        return chunk.coroutine()

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, start: Any, *arguments: Any) -> None:
        """Runs Lua until it ends; what it sleeps, this awaits. An error is printed, as on the device."""
        try:
            lua = start(*arguments)
            self._threads.append(lua)
            for slept_s in lua:
                await asyncio.sleep(slept_s or 0)
        except LuaError as error:
            self._print(str(error))

    async def _deliver(self) -> None:
        while True:
            if self._queued and self._callback is not None:
                await self._run(self._callback.coroutine, self._queued[0].decode("latin-1"))
                self._queued.pop(0)
            await asyncio.sleep(0)
            if not self._queued:
                await asyncio.sleep(0.002)

    async def _send(self) -> None:
        while True:
            value = await self._out.get()
            self._since_capture += 1
            if (self.captures, self._since_capture) not in self.lose:
                await self.notify(wire.NOTIFY, value)

    def _print(self, text: str) -> None:
        self._out.put_nowait(text.encode("latin-1"))

    def _bluetooth_send(self, data: str) -> None:
        if self._out.qsize() >= _RADIO_QUEUE:
            raise RuntimeError("bluetooth is busy")
        self._out.put_nowait(wire.DATA + data.encode("latin-1"))

    def _capture(self, settings: Any) -> None:
        if self.camera_broken:
            raise RuntimeError("camera is off")
        side = 640 if self.halo else 512
        assert (settings["resolution"], settings["quality"], settings["pan"]) == (side, "VERY_HIGH", 0)
        self._image, self._since_capture = self.jpeg, 0
        self.captures += 1

    def _start_speaker(self, settings: Any) -> None:
        assert (settings["sample_rate"], settings["bit_depth"], settings["encoder"]) == (16_000, 16, "pcm")
        self.speaking = True

    def _read_image(self, count: int) -> str | None:
        part, self._image = self._image[:count], self._image[count:]
        return part.decode("latin-1") or None

    def _read_microphone(self, count: int) -> str | None:
        if self._microphone is None:
            return None
        part = bytes(self._microphone[:count])
        del self._microphone[:count]
        return part.decode("latin-1")

    def _start_microphone(self, settings: Any) -> None:
        assert (settings["sample_rate"], settings["bit_depth"]) == (16_000, 16)
        self._microphone = bytearray()
        self.listening.set()

    def _draw(self, text: str, x: int, y: int) -> None:
        self._drawn.append(text)

    def _show(self) -> None:
        self.shown, self._drawn = self._drawn, []

    def _new_lua(self) -> LuaRuntime:
        lua = LuaRuntime(encoding="latin-1", unpack_returned_tuples=True)  # type: ignore[call-arg] - its stub is incomplete
        self._drawn: list[str] = []
        table = lua.table_from
        python = table(
            {
                "hardware": "Halo" if self.halo else "Frame",
                "utc": time.monotonic,
                "print": self._print,
                "has": lambda name: name in self.files,
                "get": lambda name: self.files[name],
                "put": self.files.__setitem__,
                "rename": lambda old, new: self.files.__setitem__(new, self.files.pop(old)),
                "bluetooth": table(
                    {
                        "max_length": lambda: self.air.mtu - 4,
                        "send": self._bluetooth_send,
                        "receive_callback": lambda function: setattr(self, "_callback", function),
                    }
                ),
                "camera": table(
                    {
                        "capture": self._capture,
                        "image_ready": lambda: not self.camera_slow,
                        "read": self._read_image,
                        "auto": lambda _: None,
                    }
                ),
                "microphone": table(
                    {
                        "start": self._start_microphone,
                        "stop": lambda: setattr(self, "_microphone", None),
                        "read": self._read_microphone,
                    }
                ),
                "display": table({"text": self._draw, "show": self._show, "clear": lambda _: None}),
                "speaker": table({"start": self._start_speaker, "stop": lambda: setattr(self, "speaking", False)}),
                "imu": table({"tap_callback": lambda function: setattr(self, "tap", function)}),
            }
        )
        lua.execute(_PRELUDE, python)
        return lua

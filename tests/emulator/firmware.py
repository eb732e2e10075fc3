"""The firmware itself as a shared library: its core and the board "host", in this process, on the caller's clock."""

from __future__ import annotations

import ctypes
import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from firmware_bridge.codecs import Int16Array
from firmware_bridge.protocol import value_of

FIRMWARE = Path(__file__).parents[2] / "firmware_bridge" / "firmware"
PHOTO = FIRMWARE / "build" / "generated" / "photo.jpg"
_OUT_BYTES = 8192
_LISTENER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)


class DeviceCounters(NamedTuple):
    """What the device counted since its boot."""

    bad: int
    forged: int
    malformed: int
    repeated: int
    sessions: int
    up: int


def build(target: str = "host") -> Path:
    """Builds what the firmware's Makefile calls `target`, if it is older than its sources; returns the build folder.

    One process of a checkout builds at a time: two test runs there would overwrite each other's half-written files.
    """
    with built(target) as folder:
        return folder


@contextmanager
def built(target: str) -> Iterator[Path]:
    """As `build`; no other process builds until the end of the block, so that the result can be copied."""
    folder = FIRMWARE / "build"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it, however the process ends
        made = subprocess.run(["make", "-s", "-C", str(FIRMWARE), target], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr[-4000:]
        yield folder


class Firmware:
    """One device. Each loads its own copy of the library, because the firmware's state is static."""

    def __init__(self, *, code: str | None = None, seed: int = 1, now_us: int = 0) -> None:
        with tempfile.TemporaryDirectory() as folder, built("host") as made:
            self.lib = ctypes.CDLL(shutil.copy(made / "host" / "libglasses.so", folder))
        self.lib.host_output.restype = ctypes.c_size_t
        self.lib.host_slot.restype = self.lib.host_hud.restype = ctypes.c_void_p
        self._out = ctypes.create_string_buffer(_OUT_BYTES)
        self._photo, self._sound = b"", np.zeros(0, np.int16)
        self.lib.host_new(ctypes.c_uint32(seed), code.encode() if code else None)
        self.slot = self.boot(now_us)

    def boot(self, now_us: int) -> int:
        """Starts it as after a reset; returns the slot, 255 when no slot holds an image."""
        self.slot = self.lib.host_boot(ctypes.c_uint64(now_us))
        return self.slot

    def power_cycle(self, now_us: int) -> int:
        """Switches the device off and on again."""
        self.lib.host_power_on()
        return self.boot(now_us)

    def step(self, data: bytes, now_us: int) -> bytes:
        """Feeds what arrived, runs the main loop once, returns what it sends. Carries out a reset it asked for."""
        at = ctypes.c_uint64(now_us)
        if data:
            self.lib.host_input(data, ctypes.c_size_t(len(data)), at)
        size = self.lib.host_output(self._out, ctypes.c_size_t(_OUT_BYTES), at)
        if self.lib.host_resets():
            self.boot(now_us)
        return self._out.raw[:size]

    def watchdog(self, now_us: int) -> None:
        """Lets the watchdog time out."""
        self.lib.host_watchdog()
        if self.lib.host_resets():
            self.boot(now_us)

    def show(self, jpeg: bytes) -> None:
        """Sets the picture that the camera takes."""
        self._photo = jpeg
        self.lib.host_photo(self._photo, ctypes.c_uint32(len(jpeg)))

    def hear(self, encoded: bytes) -> bool:
        """Gives the microphone an encoded packet of 20 ms. False: it has not taken the one before yet."""
        return bool(self.lib.host_mic(encoded, ctypes.c_size_t(len(encoded))))

    def sound(self, pcm: Int16Array) -> None:
        """Lets the microphone hear int16 (N,) at 16 kHz from now on, and silence after it."""
        self._sound = np.ascontiguousarray(pcm, np.int16)
        self.lib.host_sound(ctypes.c_void_p(self._sound.ctypes.data), ctypes.c_uint32(len(self._sound)))

    @property
    def sounding(self) -> bool:
        """Whether part of that sound was not heard yet. Only a microphone that is on hears."""
        return bool(self.lib.host_sound_left())

    def listen(self, heard: Callable[[bytes], None]) -> None:
        """Calls `heard` with the PCM16 that the speaker plays."""
        self._listener = _LISTENER(lambda pcm, size: heard(ctypes.string_at(pcm, size)))
        self.lib.host_heard_by(self._listener)

    def simulate(self, what: str, value: int) -> None:
        """Simulates an input or a fault: "touch", "button", "mute", ... as protocol.h numbers them."""
        self.lib.board_simulate(ctypes.c_uint8(value_of(f"SIMULATED_{what.upper()}")), ctypes.c_int32(value))

    def flash(self, slot: int, image: bytes) -> None:
        """Writes a firmware slot, as a factory does."""
        self.lib.host_flash(slot, image, ctypes.c_size_t(len(image)))

    def hud(self) -> bytes:
        """The framebuffer: 256 x 128, a byte a pixel."""
        return ctypes.string_at(self.lib.host_hud(), 256 * 128)

    @property
    def light(self) -> bool:
        """Whether the capture light is on."""
        return bool(self.lib.host_light())

    @property
    def counters(self) -> DeviceCounters:
        """See DeviceCounters."""
        numbers = (ctypes.c_uint32 * 6)()
        self.lib.host_counters(numbers)
        return DeviceCounters(*numbers)

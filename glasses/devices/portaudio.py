"""Sound devices through PortAudio, by name or by best guess.

The Linux wheel of sounddevice carries no PortAudio, so it is imported here alone: nothing else may need it.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from glasses.devices import quiet_stderr
from glasses.errors import Reason, SensorError
from glasses.system.supervised import SupervisedThread

log = logging.getLogger(__name__)
Direction = Literal["input", "output"]
START_S = 3.0  # a device may take so long to begin
CLOSE_S = 1.0  # PortAudio has been seen waiting for ever for a device whose server died
GONE_S = 0.7  # one that runs and then gives nothing for so long is gone
# The sound server's own devices follow the user's choice and hot-plug; bare hardware devices do not.
_PREFERRED = ("pulse", "pipewire", "default")
_NONE: dict[Direction, str] = {
    "input": "there is no microphone: plug one in, or start PulseAudio or PipeWire",
    "output": "there is no speaker: plug one in, or start PulseAudio or PipeWire; glasses run --no-voice needs none",
}


class Closing(Protocol):
    """An open stream."""

    def close(self) -> None:
        """Stops it."""
        ...


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """One device as PortAudio numbers it now; numbers change after `rescan`."""

    index: int
    name: str
    default_rate_hz: int


def portaudio() -> Any:
    """The sounddevice module. Raises SensorError(NOT_INSTALLED) with what to install."""
    _hush_alsa_once()  # before the import, which lists devices, and ALSA complains of each that is not there
    _without_pulse_files()
    try:
        import sounddevice  # noqa: PLC0415  (its import fails where the system has no PortAudio)
    except OSError as error:
        raise SensorError(
            Reason.NOT_INSTALLED, f"no PortAudio on this system ({error}); on Debian: apt-get install libportaudio2"
        ) from error
    return sounddevice


@functools.cache
def _hush_alsa_once() -> bool:
    return quiet_stderr.hush_alsa()


@functools.cache
def _without_pulse_files() -> None:
    """Where a service manager set no $XDG_RUNTIME_DIR, libpulse makes a folder in the user's configuration instead.

    It is shown the folder that would have been set. A sound server that is in the other one already is left there.
    """
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "pulse"
    if not os.environ.get("XDG_RUNTIME_DIR") and not config.exists():
        os.environ.setdefault("PULSE_RUNTIME_PATH", f"/run/user/{os.getuid()}/pulse")


def find(direction: Direction, name: str | None = None) -> SoundDevice:
    """The device that is called `name` (see `fitting`), or the system's own choice.

    Raises SensorError: NOT_FOUND (the message lists what there is), NOT_INSTALLED.
    """
    there = listed(direction)
    if not there:
        raise SensorError(Reason.NOT_FOUND, _NONE[direction])
    found = fitting(there, name)
    if not found:
        known = ", ".join(f"{device.index} {device.name!r}" for device in there)
        raise SensorError(Reason.NOT_FOUND, f"no sound {direction} is called {name!r}; there are: {known}")
    if name is not None and len(found) > 1:
        _say_once(f"{name!r} is taken for {found[0].name!r}; it also fits {', '.join(repr(d.name) for d in found[1:])}")
    return found[0]


def fitting(there: Sequence[SoundDevice], name: str | None) -> list[SoundDevice]:
    """The devices that `name` may mean, the best first: all of them where it is None.

    A bare number is a device's number and nothing else; a name that is given in full is that device alone, and else it
    is part of the names (any case).
    """
    if name is not None and name.strip().isdecimal():
        return [device for device in there if device.index == int(name)]
    if name is not None:
        wanted = name.strip().casefold()
        whole = [device for device in there if device.name.casefold() == wanted]
        there = whole or [device for device in there if wanted and wanted in device.name.casefold()]
    preferred = {wanted: rank for rank, wanted in enumerate(_PREFERRED)}
    return sorted(there, key=lambda device: preferred.get(device.name, len(preferred)))


@functools.cache
def _say_once(sentence: str) -> None:
    """A device is looked for anew each time that it vanishes."""
    log.warning("%s", sentence)


def listed(direction: Direction) -> list[SoundDevice]:
    """Every device of one direction, the system's default first."""
    sd = portaudio()
    default = sd.default.device[0 if direction == "input" else 1]
    devices = [
        SoundDevice(i, device["name"], int(device["default_samplerate"]))
        for i, device in enumerate(sd.query_devices())
        if device[f"max_{direction}_channels"] > 0
    ]
    return sorted(devices, key=lambda device: device.index != default)


def rescan() -> None:
    """Makes PortAudio list its devices anew, which it does only at start. Every stream must be closed before."""
    sd = portaudio()
    # Private, hence sounddevice is pinned: the library lists devices at import and has no public way to list them anew.
    sd._terminate()
    sd._initialize()


def close(devices: Sequence[Closing]) -> None:
    """Closes all. Raises SensorError(TIMEOUT) where PortAudio does not let go: only a new process helps then."""

    def close_all() -> None:
        for device in devices:
            device.close()

    closing = SupervisedThread(close_all, "closing sound devices").start()
    if not closing.close(CLOSE_S):
        # Private as well: its exit handler would wait for the same device, and the process must be able to end.
        atexit.unregister(portaudio()._exit_handler)
        raise SensorError(Reason.TIMEOUT, "PortAudio does not let go of a device that vanished; start again")


def usable_rate(device: SoundDevice, direction: Direction, wanted_hz: int) -> int:
    """`wanted_hz` where the device takes it, else the device's own rate, to be resampled by us."""
    sd = portaudio()
    check = sd.check_input_settings if direction == "input" else sd.check_output_settings
    try:
        check(device=device.index, channels=1, samplerate=wanted_hz, dtype="int16")
    except sd.PortAudioError:
        return device.default_rate_hz
    return wanted_hz


def overdue(last_ns: int, opened_ns: int) -> bool:
    """Whether a stream opened at `opened_ns` that last stirred at `last_ns` (time.monotonic_ns) has been silent for too
    long to be alive. A speaker's first call only fills its buffer: that it has begun is not known before START_S.
    """
    now_ns = time.monotonic_ns()
    return (now_ns - last_ns) / 1e9 > (GONE_S if (now_ns - opened_ns) / 1e9 > 2 * START_S else START_S)

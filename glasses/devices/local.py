"""The devices that the assistant hears, speaks and sees with, and how each is opened.

`DeviceFactory` is what the assistant needs. `LocalDevices` opens those of this machine, `RemoteGlasses` (remote.py)
those of glasses over a link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from glasses.devices import portaudio
from glasses.devices.camera import Camera
from glasses.devices.event_queue import EventQueue
from glasses.devices.microphone import Microphone
from glasses.devices.portaudio import SoundDevice
from glasses.devices.speaker import AudioOutput, Speaker
from glasses.types import UInt8Array


class AudioInput(Protocol):
    """An open microphone: puts AudioChunks into a queue until `close`."""

    device: SoundDevice
    overruns: int  # times that the system dropped sound

    @property
    def gone(self) -> bool:
        """Whether it gives no sound any more."""
        ...

    def close(self) -> None:
        """Stops recording. Safe to call twice; never waits for a device that is gone."""
        ...


class VideoInput(Protocol):
    """An open camera: puts Frames into a queue until `close`."""

    @property
    def gone(self) -> bool:
        """Whether it gives no pictures any more and has to be opened anew."""
        ...

    @property
    def is_seeing(self) -> bool:
        """Whether it gives pictures, now or as soon as it is asked: not before the first one has come."""
        ...

    def look(self) -> None:
        """Asks for a picture now; returns at once."""
        ...

    def close(self) -> None:
        """Stops the pictures at once, then frees the device, for which it may wait some seconds. Safe to call twice."""
        ...


class DeviceFactory(Protocol):
    """Opens devices, as often as they vanish. All raise SensorError."""

    @property
    def muted(self) -> bool:
        """Whether the devices' own mute switch is on."""
        ...

    @property
    def sees(self) -> bool:
        """Whether there is to be a camera."""
        ...

    def microphone(self, queue: EventQueue) -> AudioInput:
        """Opens it."""
        ...

    def speaker(self, rate_hz: int) -> AudioOutput:
        """Opens it for sound of `rate_hz`."""
        ...

    def camera(self, queue: EventQueue) -> VideoInput:
        """Opens it."""
        ...

    def rescan(self) -> None:
        """Lists the devices anew; all must be closed before."""
        ...


@runtime_checkable
class Hud(Protocol):
    """What devices with a HUD have beside a DeviceFactory's methods."""

    def show(self, text: str) -> None:
        """Shows the end of `text` as far as it fits, or for "" nothing. Returns at once."""
        ...


@runtime_checkable
class WornParts(Protocol):
    """What glasses may have beside a DeviceFactory's methods. All raise SensorError: UNSUPPORTED where they lack the
    part, NOT_FOUND while they are away; all wait for the glasses, so not on the listener's thread."""

    def brightness(self, percent: int | None = None) -> int:
        """Reads the brightness of their display, or sets it; in percent."""
        ...

    def buzz(self, times: int) -> None:
        """Vibrates, and returns when that is over."""
        ...

    def capture_light(self, on: bool) -> None:
        """Shows others that a picture is taken; what a camera shows by itself stays."""
        ...

    def battery_percent(self) -> int:
        """Their charge."""
        ...


@runtime_checkable
class Photographs(Protocol):
    """A VideoInput that gives pictures in full size, too."""

    def photograph(self, give: Callable[[UInt8Array], None]) -> None:
        """Has `give` called once with the next picture, uint8 (H, W, 3), from another thread. Returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDevices:
    """Opens this machine's devices by name; None is the system's choice, and for `camera_source` no camera."""

    microphone_name: str | None = None
    speaker_name: str | None = None
    camera_source: str | int | None = None

    @property
    def muted(self) -> bool:
        """False: local devices report no mute switch."""
        return False

    @property
    def sees(self) -> bool:
        """Whether a camera was named."""
        return self.camera_source is not None

    def microphone(self, queue: EventQueue) -> Microphone:
        """Raises SensorError: NOT_FOUND, NOT_INSTALLED, INTERNAL."""
        return Microphone(queue, self.microphone_name)

    def speaker(self, rate_hz: int) -> Speaker:
        """Raises SensorError: NOT_FOUND, NOT_INSTALLED, INTERNAL."""
        return Speaker(rate_hz, self.speaker_name)

    def camera(self, queue: EventQueue) -> Camera:
        """Raises SensorError: NOT_FOUND, NOT_INSTALLED."""
        assert self.camera_source is not None
        return Camera(queue, self.camera_source)

    def rescan(self) -> None:
        """Makes PortAudio list its devices anew. Raises SensorError(NOT_INSTALLED)."""
        portaudio.rescan()

"""Keeps the devices of the pipeline open: reopens what vanishes, closes what is muted, tells both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from glasses.devices import portaudio
from glasses.devices.camera_supervisor import CameraSupervisor
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import AudioInput, DeviceFactory
from glasses.devices.speaker import AudioOutput
from glasses.errors import SensorError
from glasses.types import NS_PER_S, DeviceChange, Load, SensorEvent

log = logging.getLogger(__name__)
RETRY_S = 0.5
MUTE_S = 0.5  # "muted" is reported this late at the latest, whatever the camera does
CAMERA_STALLS = "the camera has not stopped yet; its pictures are dropped"


@dataclass(slots=True)
class Counts:
    """What went wrong since the start, and how often."""

    sound_lost: int = 0  # chunks that the listener did not take in time
    pictures_lost: int = 0
    overruns: int = 0
    underruns: int = 0
    reopened: int = 0


class DeviceSupervisor:
    """Microphone, speaker and camera, each None while it is closed or away.

    `follow` and `follow_mute` belong to the listening thread; `mute` may be called from any thread.
    """

    def __init__(
        self,
        devices: DeviceFactory,
        events: EventQueue,
        *,
        voice_rate_hz: int | None,
        publish: Callable[[DeviceChange], None],
        is_allowed: Callable[[Load], bool],
        muted: bool,
    ) -> None:
        """Opens them; without `voice_rate_hz` no speaker. Raises SensorError: NOT_INSTALLED, NOT_FOUND, INTERNAL."""
        self._devices, self._events, self._publish = devices, events, publish
        self._voice_rate_hz, self._is_allowed = voice_rate_hz, is_allowed
        self._muted, self._retry_ns = muted, 0
        self._audio_gone, self._last_error, self._gain = False, "", 1.0
        self._was_muted = self.muted
        self._mute_due_ns: int | None = None  # muted, and not reported yet
        self._since_ns = 0
        self.counts = Counts()
        self.microphone: AudioInput | None = None
        self.speaker: AudioOutput | None = None
        self._open_audio()
        self.camera = CameraSupervisor(devices, events, publish)
        self.camera.start(self._wants_camera())

    @property
    def muted(self) -> bool:
        """Whether the sensors are switched off, here or by a switch of the devices' own."""
        return self._muted or self._devices.muted

    def mute(self, muted: bool) -> None:
        """From now on `may_take` lets nothing pass; the next `follow_mute` closes the sensors, or opens them again."""
        self._muted = muted

    @property
    def is_muting(self) -> bool:
        """Whether the sensors are being closed, or opened, and that is not reported yet."""
        return self.muted != self._was_muted or self._mute_due_ns is not None

    @property
    def lacks_microphone(self) -> bool:
        """Whether there is none, though there should be."""
        return not self.muted and not self._was_muted and (self.microphone is None or self.microphone.gone)

    def may_take(self, event: SensorEvent) -> bool:
        """Whether the pipeline may have this event: not while muted, and nothing that was sensed while it was muted."""
        return not self.muted and event.t_ns >= self._since_ns

    def follow_mute(self) -> bool:
        """Closes or opens what `mute` asked for; True where that was now reported as "muted" or "unmuted".

        Closed, not ignored: so that the system's own sign that something records goes out too. "muted" is reported
        once the camera is closed; of a camera that stalls for MUTE_S the report says so, and its pictures are dropped.
        """
        muted = self.muted
        if muted == self._was_muted:
            return self._report_muted()
        self._was_muted = muted
        if muted:
            if self.microphone:
                self.microphone.close()
                self.microphone = None
            self.camera.follow(False)
            self._mute_due_ns = time.monotonic_ns() + round(MUTE_S * NS_PER_S)
            return self._report_muted()
        self._report_muted(now=True)
        self._since_ns = time.monotonic_ns()
        with suppress(SensorError):  # it went while it was closed: `follow` tells that and looks for it anew
            self.microphone = self._devices.microphone(self._events)
        if self.speaker:
            self.speaker.reference.take()  # what was played meanwhile is no echo in what is heard from now on
        self._publish(DeviceChange(time.monotonic_ns(), "unmuted"))
        return True

    def _report_muted(self, *, now: bool = False) -> bool:
        """Reports "muted" where that is due, with `now` also before the camera is closed; whether it did."""
        if self._mute_due_ns is None:
            return False
        now_ns, is_closed = time.monotonic_ns(), self.camera.is_closed
        if not (is_closed or now or now_ns >= self._mute_due_ns):
            return False
        self._mute_due_ns = None
        self._publish(DeviceChange(now_ns, "muted", "" if is_closed else CAMERA_STALLS))
        return True

    def follow(self) -> bool:
        """Reopens what vanished; True where the speaker is another one now.

        Where one audio device is gone both are opened anew, because PortAudio lists devices once. While it is muted
        nobody misses a speaker that can be opened again at once, as on a machine too busy to call it: that is not told.
        """
        self.camera.follow(self._wants_camera())
        now_ns = time.monotonic_ns()
        if not self._is_audio_gone() or now_ns < self._retry_ns:
            return False
        if not self._was_muted:
            self._report_gone()
        self._close_audio()
        try:
            self._devices.rescan()
            self._open_audio()
        except SensorError as error:
            log.log(logging.DEBUG if str(error) == self._last_error else logging.WARNING, "%s", error)
            self._last_error = str(error)  # logged once, not with every attempt
            self._close_audio()
            self._report_gone()
        else:
            self.counts.reopened += 1
            if self._audio_gone:
                self._publish(DeviceChange(time.monotonic_ns(), "reconnected"))
            self._audio_gone, self._last_error = False, ""
        self._retry_ns = time.monotonic_ns() + round(RETRY_S * NS_PER_S)
        return True

    def _report_gone(self) -> None:
        if not self._audio_gone:
            self._audio_gone = True
            self._publish(DeviceChange(time.monotonic_ns(), "disconnected"))

    def set_gain(self, gain: float) -> None:
        """How loud the speaker is from now on, and those that are opened later: a factor for every sample."""
        self._gain = gain
        if speaker := self.speaker:
            speaker.gain = gain

    def close(self) -> None:
        """Closes all. Raises SensorError(TIMEOUT) where PortAudio does not let go: only a new process helps then."""
        self.camera.close()
        self._close_audio()

    def _wants_camera(self) -> bool:
        return not self.muted and self._is_allowed("camera")

    def _is_audio_gone(self) -> bool:
        # `_was_muted`, not `muted`: unmuted by another thread just now, the microphone is closed but not gone.
        if not self._was_muted and (self.microphone is None or self.microphone.gone):
            return True
        return self._voice_rate_hz is not None and (self.speaker is None or self.speaker.gone)

    def _open_audio(self) -> None:
        if not self.muted:
            self.microphone = self._devices.microphone(self._events)
        if self._voice_rate_hz is not None:
            self.speaker = self._devices.speaker(self._voice_rate_hz)
            self.speaker.gain = self._gain

    def _close_audio(self) -> None:
        if self.microphone:
            self.counts.overruns += self.microphone.overruns
        if self.speaker:
            self.counts.underruns += self.speaker.underruns
        open_devices = [device for device in (self.microphone, self.speaker) if device]
        self.microphone = self.speaker = None
        portaudio.close(open_devices)

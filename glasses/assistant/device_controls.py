"""What tools may do with the running glasses: loudness, voice, display, microphone, camera, sounds, vibration.

Every method returns what the wearer is told, and says so where something is not there. A tool calls them on a thread of
its own: some wait for the glasses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from glasses.assistant import device_settings, photographs
from glasses.assistant.announcements import Announcement, Announcements
from glasses.assistant.assistant import Assistant
from glasses.assistant.device_settings import LIMITS, STEPS, VOLUME
from glasses.audio.sound_files import read_audio
from glasses.decoders.speech import Voice
from glasses.devices.local import DeviceFactory, WornParts
from glasses.errors import InputError, Reason, SensorError
from glasses.system.governor import Reading
from glasses.system.supervised import failed_threads
from glasses.tools import sound_bank, words
from glasses.types import UInt8Array

log = logging.getLogger(__name__)
MAX_BUZZES = 10
HOT_C = 80.0
LOW_MB = 100.0  # free memory
_PEAK = 0.7  # of full scale, as the voice has
_GONE = "The glasses are not there at the moment."


class DeviceControls:
    """The `Controls` of glasses/tools/tool.py. Complete once `attach` was called."""

    def __init__(
        self,
        devices: DeviceFactory,
        voice: Voice | None,
        announcements: Announcements,
        *,
        settings_file: Path,
        pictures: Path,
        read_board: Callable[[int], Reading],
        note: Callable[[str], None],
        speed: int = 100,
    ) -> None:
        """`speed` of the voice in percent, where the wearer set none; `note` is told where a picture was saved."""
        self._devices, self._voice, self._announcements = devices, voice, announcements
        self._parts = devices if isinstance(devices, WornParts) else None
        self._file, self._pictures, self._read_board, self._note = settings_file, pictures, read_board, note
        self._settings, self._speed = device_settings.load(settings_file), speed
        self._assistant: Assistant | None = None
        self._apply()

    def attach(self, assistant: Assistant) -> None:
        """The assistant that runs now; what is kept counts for it from now on."""
        self._assistant = assistant
        self._apply()

    def use_speed(self, percent: int) -> None:
        """The voice's speed of another persona, where the wearer set none."""
        self._speed = percent
        self._apply()

    # What tools call.

    def adjust(self, setting: str, level: int | None, change: int) -> str:
        """See `Controls`."""
        if setting == "brightness":
            return self._adjust_brightness(level, change)
        if self._voice is None:
            raise InputError(Reason.UNSUPPORTED, "I have no voice: my answers are text only.")
        now = self._settings.volume or VOLUME if setting == "volume" else self._settings.speed or self._speed
        return self._adjust(setting, now, level, change)

    def do(self, action: str) -> str:
        """See `Controls`."""
        actions = {
            "mute": self._mute,
            "say_again": lambda: self._running.last_said or "I have not said anything yet.",
            "stop": self._stop,
            "take_picture": self._take_picture,
            "battery": self._battery,
            "status": self._status,
        }
        return actions[action]()

    def play(self, sound: str) -> str:
        """See `Controls`. It sounds once the reply is over; nothing else is said."""
        if self._voice is None or self._running.devices.speaker is None:
            raise InputError(Reason.UNSUPPORTED, "I have no speaker now.")
        path = sound_bank.find(sound)
        if path is None:
            raise InputError(Reason.NOT_FOUND, f"I cannot make that sound. I know {words.listed(sound_bank.names())}.")
        pcm = read_audio(path, rate_hz=self._voice.rate_hz)
        pcm *= _PEAK / max(float(abs(pcm).max()), 1e-6)
        self._announcements.add(Announcement("sound", lambda: path.stem, sound=pcm, at_once=True))
        return ""

    def buzz(self, times: int) -> str:
        """See `Controls`."""
        if self._parts is None:
            raise InputError(Reason.UNSUPPORTED, "There is nothing here that can vibrate.")
        try:
            self._parts.buzz(min(times, MAX_BUZZES))
        except SensorError as error:
            raise _unable(error, "The glasses cannot vibrate.") from error
        return ""

    # How.

    @property
    def _running(self) -> Assistant:
        if self._assistant is None:
            raise InputError(Reason.UNSUPPORTED, "That needs the running glasses.")
        return self._assistant

    def _apply(self) -> None:
        """Has what is set count."""
        if self._voice:
            self._voice.speed = (self._settings.speed or self._speed) / 100
        if self._assistant:
            self._assistant.devices.set_gain(device_settings.gain_of(self._settings.volume or VOLUME))

    def _adjust(self, setting: str, now: int, level: int | None, change: int) -> str:
        low, high = LIMITS[setting]
        wanted = level if level is not None else now + change * STEPS[setting]
        value = min(max(wanted, low), high)
        if level is None and not change:
            return f"The {setting} is {now} percent."
        self._settings = msgspec.structs.replace(self._settings, **{setting: value})
        self._apply()
        device_settings.save(self._file, self._settings)
        limit = {low: "the least", high: "the most"}.get(value)
        return f"The {setting} is {value} percent{f', {limit} there is' if limit else ''}."

    def _adjust_brightness(self, level: int | None, change: int) -> str:
        if self._parts is None:
            raise InputError(Reason.UNSUPPORTED, "There is no display whose brightness I can set.")
        try:
            said = self._adjust("brightness", self._parts.brightness(), level, change)
            if level is not None or change:
                self._parts.brightness(self._settings.brightness)
        except SensorError as error:
            raise _unable(error, "There is no display whose brightness I can set.") from error
        return said

    def _mute(self) -> str:
        if self._running.muted:
            return "I am muted already."
        self._running.after_reply(self._running.mute_until_touched)
        return "Muted, until you touch the glasses."

    def _stop(self) -> str:
        self._announcements.answer()
        self._announcements.drop_sounds()
        return ""

    def look(self) -> UInt8Array:
        """The camera's next picture in full size, uint8 (H, W, 3); nothing of it is kept. Raises InputError where there
        is no camera, it is closed, or no picture comes.
        """
        if self._running.muted:
            raise InputError(Reason.REFUSED, "I am muted: the camera is closed.")
        if not self._devices.sees:
            raise InputError(Reason.UNSUPPORTED, "There is no camera.")
        try:
            rgb = photographs.take(self._running.devices.camera, self._parts)
        except SensorError as error:
            raise InputError(error.reason, str(error)) from error
        if self._running.muted:  # meanwhile
            raise InputError(Reason.REFUSED, "I am muted: the picture is thrown away.")
        return rgb

    def _take_picture(self) -> str:
        rgb = self.look()
        path = photographs.save(rgb, self._pictures, datetime.now())
        self._note(f"picture saved: {path}")
        return "I took a picture."

    def _battery(self) -> str:
        said = []
        if self._parts:
            try:
                said.append(f"The glasses are at {self._parts.battery_percent()} percent.")
            except SensorError as error:
                said.append("The glasses do not tell their charge." if _lacks(error) else _GONE)
        board = self._read_board(time.monotonic_ns())
        if board.battery_percent is not None:
            charging = ", and charges" if board.charging else ""
            said.append(
                f"{'The computer' if said else 'The battery'} is at {board.battery_percent:.0f} percent{charging}."
            )
        return " ".join(said) or "I find no battery: this computer runs from the mains, or does not tell."

    def _status(self) -> str:
        """What is wrong or missing; that all is well where nothing is."""
        assistant, board = self._running, self._read_board(time.monotonic_ns())
        missing = []
        if assistant.muted:
            missing.append("I am muted.")
        elif assistant.devices.lacks_microphone:
            missing.append("The microphone is gone.")
        if self._voice is None:
            missing.append("I have no voice.")
        elif assistant.devices.speaker is None:
            missing.append("The speaker is gone.")
        if self._parts:
            missing += self._parts_status(self._parts)
        if not self._devices.sees:
            missing.append("There is no camera.")
        elif not (assistant.muted or assistant.devices.camera.is_seeing):
            missing.append("No picture comes from the camera.")
        if board.heat_c is not None and board.heat_c >= HOT_C:
            missing.append(f"The computer is hot: {board.heat_c:.0f} degrees.")
        if board.free_mb is not None and board.free_mb < LOW_MB:
            missing.append("Little memory is left.")
        if failed := failed_threads():
            missing.append(f"A part of me failed: {words.listed([thread.name for thread in failed])}.")
        return " ".join(missing or ["All is well."])

    def _parts_status(self, parts: WornParts) -> list[str]:
        try:
            return [f"The glasses are connected, at {parts.battery_percent()} percent."]
        except SensorError as error:
            return ["The glasses are connected." if _lacks(error) else _GONE]


def _lacks(error: SensorError) -> bool:
    return error.reason is Reason.UNSUPPORTED


def _unable(error: SensorError, lacks: str) -> InputError:
    """What is said of glasses that lack a part, or are away."""
    return InputError(error.reason, lacks if _lacks(error) else _GONE)

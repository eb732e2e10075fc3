"""What tools do with the device, and what the wearer is told where something is not there."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glasses.assistant.announcements import Announcements
from glasses.assistant.device_controls import DeviceControls
from glasses.assistant.device_settings import DeviceSettings, gain_of, load, save
from glasses.errors import InputError, Reason, SensorError
from glasses.system.governor import Reading
from glasses.tools import sound_bank


class Camera:
    is_seeing = True

    def photograph(self, give: Any) -> bool:
        give(np.full((48, 64, 3), 200, np.uint8))
        return True


class Parts:
    """Glasses with a motor and a capture light, and without a display or a battery."""

    muted, sees = False, True

    def __init__(self) -> None:
        self.done: list[Any] = []

    def microphone(self, queue: Any) -> Any: ...

    def speaker(self, rate_hz: int) -> Any: ...

    def camera(self, queue: Any) -> Any: ...

    def rescan(self) -> None: ...

    def brightness(self, percent: int | None = None) -> int:
        raise SensorError(Reason.UNSUPPORTED, "no display")

    def buzz(self, times: int) -> None:
        self.done.append(times)

    def capture_light(self, on: bool) -> None:
        self.done.append("light on" if on else "light off")

    def battery_percent(self) -> int:
        raise SensorError(Reason.NOT_FOUND, "away")


class Running:
    """An assistant of which the controls see only this much."""

    def __init__(self) -> None:
        self.muted, self.last_said, self.actions = False, "", list[Any]()
        self.gains = list[float]()
        self.devices = SimpleNamespace(
            speaker=object(), camera=Camera(), lacks_microphone=False, set_gain=self.gains.append
        )

    def after_reply(self, action: Any) -> None:
        self.actions.append(action)

    def mute_until_touched(self) -> None:
        self.muted = True


class Worn:
    def __init__(self, folder: Path, devices: Any = None, **board: Any) -> None:
        self.voice, self.running, self.announcements = (
            SimpleNamespace(speed=1.0, rate_hz=16_000),
            Running(),
            Announcements(),
        )
        self.notes = list[str]()
        local: Any = SimpleNamespace(sees=False)
        voice: Any = self.voice
        running: Any = self.running
        self.file = folder / "settings.json"
        self.controls = DeviceControls(
            devices or local,
            voice,
            self.announcements,
            settings_file=self.file,
            pictures=folder / "pictures",
            read_board=lambda t_ns: Reading(t_ns, **board),
            note=self.notes.append,
            speed=110,
        )
        self.controls.attach(running)


def test_adjust_volume_steps_stops_at_its_limits_and_is_kept(tmp_path: Path) -> None:
    worn = Worn(tmp_path)
    assert worn.controls.adjust("volume", None, 0) == "The volume is 80 percent."
    assert worn.controls.adjust("volume", None, 1) == "The volume is 90 percent."
    assert worn.controls.adjust("volume", 0, 0) == "The volume is 10 percent, the least there is."
    assert worn.running.gains == [1.0, gain_of(90), gain_of(10)]
    again = Worn(tmp_path)
    assert again.running.gains == [gain_of(10)]


def test_adjust_speed_is_the_voices_and_begins_at_the_personas(tmp_path: Path) -> None:
    worn = Worn(tmp_path)
    assert worn.voice.speed == 1.1
    assert worn.controls.adjust("speed", None, -1) == "The speed is 90 percent."
    assert worn.voice.speed == 0.9
    assert load(worn.file) == DeviceSettings(speed=90)


def test_adjust_brightness_without_a_display_says_so(tmp_path: Path) -> None:
    for devices in (None, Parts()):
        with pytest.raises(InputError, match="no display whose brightness") as caught:
            Worn(tmp_path, devices).controls.adjust("brightness", None, 1)
        assert caught.value.reason is Reason.UNSUPPORTED


def test_load_of_a_damaged_file_sets_nothing(tmp_path: Path) -> None:
    for content in (b"{", b'{"volume": 900}', b'{"louder": 1}', b"x" * 5000):
        (tmp_path / "settings.json").write_bytes(content)
        assert load(tmp_path / "settings.json") == DeviceSettings()
    save(tmp_path / "settings.json", DeviceSettings(volume=30))
    assert load(tmp_path / "settings.json") == DeviceSettings(volume=30)


def test_do_mute_says_so_before_it_mutes(tmp_path: Path) -> None:
    worn = Worn(tmp_path)
    assert worn.controls.do("mute").startswith("Muted")
    assert not worn.running.muted
    worn.running.actions[0]()
    assert worn.running.muted


def test_do_say_again_is_the_last_thing_said(tmp_path: Path) -> None:
    worn = Worn(tmp_path)
    assert worn.controls.do("say_again") == "I have not said anything yet."
    worn.running.last_said = "It is noon."
    assert worn.controls.do("say_again") == "It is noon."


def test_do_take_picture_saves_it_for_the_wearer_alone_with_the_light_on(tmp_path: Path) -> None:
    parts = Parts()
    worn = Worn(tmp_path, parts)
    assert worn.controls.do("take_picture") == "I took a picture."
    assert worn.controls.do("take_picture") == "I took a picture."
    first, second = sorted((tmp_path / "pictures").iterdir())
    for path in (first, second):
        with Image.open(path) as picture:
            assert picture.size == (64, 48)
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert parts.done == ["light on", "light off"] * 2
    assert str(first) in " ".join(worn.notes)


def test_do_take_picture_muted_or_without_a_camera_takes_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no camera"):
        Worn(tmp_path).controls.do("take_picture")
    worn = Worn(tmp_path, Parts())
    worn.running.muted = True
    with pytest.raises(InputError, match="muted"):
        worn.controls.do("take_picture")
    assert not (tmp_path / "pictures").exists()


def test_do_battery_and_status_say_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    assert Worn(tmp_path).controls.do("battery").startswith("I find no battery")
    assert Worn(tmp_path, battery_percent=41.6).controls.do("battery") == "The battery is at 42 percent."
    away = Worn(tmp_path, Parts(), battery_percent=50, charging=True, heat_c=91)
    assert away.controls.do("battery").endswith("The computer is at 50 percent, and charges.")
    said = away.controls.do("status")
    assert "The glasses are not there" in said
    assert "hot: 91 degrees" in said
    assert Worn(tmp_path).controls.do("status") == "There is no camera."


def test_play_queues_the_sound_right_after_the_reply(tmp_path: Path) -> None:
    worn = Worn(tmp_path)
    assert worn.controls.play("a dog that barks") == ""
    now_ns = time.monotonic_ns()
    begun = worn.announcements.begin(now_ns, now_ns, now_ns)
    assert begun
    sound = begun[1].sound
    assert sound is not None
    assert sound.dtype == np.float32
    assert 0.69 < np.abs(sound).max() < 0.71
    with pytest.raises(InputError, match="cannot make that sound"):
        worn.controls.play("a kangaroo")


def test_buzz_vibrates_or_says_that_nothing_can(tmp_path: Path) -> None:
    parts = Parts()
    assert Worn(tmp_path, parts).controls.buzz(3) == ""
    assert parts.done == [3]
    with pytest.raises(InputError, match="nothing here that can vibrate"):
        Worn(tmp_path).controls.buzz(1)


def test_sound_bank_has_a_file_for_each_name_and_few_bytes() -> None:
    files = {path.stem: path.stat().st_size for path in sound_bank.FOLDER.glob("*.ogg")}
    assert sorted(files) == sound_bank.names()
    assert sum(files.values()) < 300_000
    assert sound_bank.find("Barking dogs!") == sound_bank.FOLDER / "dog.ogg"

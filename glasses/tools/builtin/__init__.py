"""The tools that come with it."""

from __future__ import annotations

from glasses.tools.builtin import about, clock, codes, device, letters, notes, numbers, reminders, text, timers
from glasses.tools.tool import Tool

BUILTIN: tuple[Tool, ...] = (
    clock.time, clock.date,
    timers.set_timer, timers.list_timers, timers.cancel_timer,
    timers.set_alarm, timers.list_alarms, timers.cancel_alarm,
    reminders.set_reminder, reminders.list_reminders, reminders.cancel_reminder,
    notes.remember, notes.recall, notes.forget,
    numbers.calculate, numbers.convert, letters.spell, letters.count_letters,
    device.set_volume, device.set_speed, device.set_brightness, device.mute, device.say_again, device.stop,
    device.take_picture, text.read_text, codes.read_code,
    device.battery, device.status, device.play_sound, device.haptic,
    *about.ABOUT,
)  # fmt: skip

"""The glasses themselves: loudness, brightness, microphone, camera, battery."""

from __future__ import annotations

from typing import Literal

from glasses.tools.kinds import Level, Sound, Times
from glasses.tools.tool import ToolContext, tool

Change = Literal["", "up", "down"]
_STEPS = {"": 0, "up": 1, "down": -1}


@tool(examples=("Louder.", "Set the volume to thirty percent."))
def set_volume(context: ToolContext, change: Change = "", level: Level | None = None) -> str:
    """Changes how loud the voice is."""
    return context.device().adjust("volume", level, _STEPS[change])


@tool(examples=("Speak slower.", "Talk faster."))
def set_speed(context: ToolContext, change: Change = "", level: Level | None = None) -> str:
    """Changes how fast the voice speaks."""
    return context.device().adjust("speed", level, _STEPS[change])


@tool(examples=("Brighter.", "Dim the display."))
def set_brightness(context: ToolContext, change: Change = "", level: Level | None = None) -> str:
    """Changes how bright the display is."""
    return context.device().adjust("brightness", level, _STEPS[change])


@tool(examples=("Mute yourself.", "Turn the microphone off."))
def mute(context: ToolContext) -> str:
    """Stops listening until the wearer touches the glasses."""
    return context.device().do("mute")


@tool(examples=("Say that again.", "Repeat that."))
def say_again(context: ToolContext) -> str:
    """Says the last answer again."""
    return context.device().do("say_again")


@tool(examples=("Stop.", "Be quiet."))
def stop(context: ToolContext) -> str:
    """Stops speaking."""
    return context.device().do("stop")


@tool(examples=("Take a picture.", "Snap a photo."))
def take_picture(context: ToolContext) -> str:
    """Takes a picture and saves it."""
    return context.device().do("take_picture")


@tool(examples=("How much battery is left?", "Do you need charging?"), reads_only=True)
def battery(context: ToolContext) -> str:
    """Tells how full the battery is."""
    return context.device().do("battery")


@tool(examples=("Is everything working?", "Are the glasses connected?"), reads_only=True)
def status(context: ToolContext) -> str:
    """Tells how the glasses, the link and the devices are."""
    return context.device().do("status")


@tool(examples=("Meow like a cat.", "Ring a bell."), questions={"name": "Which sound?"})
def play_sound(context: ToolContext, name: Sound) -> str:
    """Makes the sound of an animal or a thing."""
    return context.device().play(name.strip().lower())


@tool(examples=("Buzz twice.", "Vibrate."))
def haptic(context: ToolContext, times: Times = 1) -> str:
    """Vibrates so that the wearer feels it."""
    return context.device().buzz(max(1, min(times, 10)))

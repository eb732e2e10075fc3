"""What the page of `glasses run` says of devices and link: read when asked, changes nothing. Knows no page."""

from __future__ import annotations

from typing import Any

from glasses.assistant.assistant import Assistant
from glasses.devices.local import DeviceFactory
from glasses.devices.remote import RemoteGlasses


def vitals(live: Assistant, devices: DeviceFactory, not_remembered: int) -> dict[str, Any]:
    """`counts` of what went wrong since the start, open devices included, and `link` where there is one."""
    microphone, speaker = live.microphone, live.speaker
    counts = {
        "sound_lost": live.counts.sound_lost,
        "overruns": live.counts.overruns + (microphone.overruns if microphone else 0),
        "underruns": live.counts.underruns + (speaker.underruns if speaker else 0),
        "reopened": live.counts.reopened,
        "not_remembered": not_remembered,
    }
    return {"counts": counts, **({"link": link_line(devices)} if isinstance(devices, RemoteGlasses) else {})}


def link_line(devices: RemoteGlasses) -> str:
    """Which glasses, whether they are there, and how well."""
    link, device = devices.link.glasses.session.link, devices.link.glasses
    name = f"{device.capabilities.product} at {devices.link.address}"
    if not devices.link.up:
        return f"{name}: gone, trying again"
    delay_us, counters = link.clock.last_delay_us, link.counters
    told = [] if delay_us is None else [f"{delay_us / 1000:.0f} ms there and back"]
    told += [f"{counters.repeated} messages sent again", f"{counters.bad_frames} frames damaged"]
    if "battery_percent" in device.info:
        told.append(f"battery {device.info['battery_percent']} %")
    return f"{name}: {', '.join(told)}"

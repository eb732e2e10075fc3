"""Figures of the running assistant for the dashboard: counts of what went wrong, memory, recording, the link."""

from __future__ import annotations

from typing import Any

from glasses.assistant.assistant import Assistant
from glasses.devices.local import DeviceFactory
from glasses.devices.remote import RemoteGlasses
from glasses.recording.recorder import Recorder
from glasses.system.supervised import failed_threads


def vitals(assistant: Assistant, devices: DeviceFactory, recorder: Recorder | None) -> dict[str, Any]:
    """Fields of dashboard.status.Vitals; `counts` are since the start, those of the open devices included."""
    microphone, speaker, counted = assistant.devices.microphone, assistant.devices.speaker, assistant.devices.counts
    counts = {
        "sound_lost": counted.sound_lost,
        "pictures_lost": counted.pictures_lost,
        "overruns": counted.overruns + (microphone.overruns if microphone else 0),
        "underruns": counted.underruns + (speaker.underruns if speaker else 0),
        "reopened": counted.reopened,
        "not_remembered": assistant.memory.n_lost,
        **{f"{name}_missed": n for name, n in assistant.observers.n_dropped.items()},
        **{f"{thread.name}_failed": thread.n_failures for thread in failed_threads()},
    }
    remembered_s, remembered_mb = assistant.memory.usage()
    fields: dict[str, Any] = {"counts": counts, "remembered_s": remembered_s, "remembered_mb": remembered_mb}
    fields["past_turns"] = assistant.past_turns
    if recorder:
        counts["recording_lost"] = recorder.n_lost
        fields["recorded_mb"] = recorder.bytes_written / 1e6
    if isinstance(devices, RemoteGlasses):
        fields["link"] = link_line(devices)
    return fields


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

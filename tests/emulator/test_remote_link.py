"""Glasses that are unplugged, restart or are muted, and local devices used in their place."""

from __future__ import annotations

import time

import numpy as np
import pytest

from firmware_bridge.session import now_us
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import LocalDevices
from glasses.devices.remote import RemoteGlasses
from glasses.errors import Reason, SensorError
from glasses.types import SAMPLE_RATE_HZ, AudioChunk
from tests.emulator.remote_world import World
from tests.emulator.stand_in import StandIn
from tests.emulator.test_link_command import hud_line


def test_remote_glasses_unplugged_are_gone_and_reopen_when_back(world: World) -> None:
    microphone, speaker = world.linked.microphone(world.queue), world.linked.speaker(SAMPLE_RATE_HZ)
    world.until(lambda: len(world.pcm), "sound")
    world.glasses.unplug()
    world.until(lambda: microphone.gone and speaker.gone, "gone")
    with pytest.raises(SensorError) as gone:
        world.linked.speaker(SAMPLE_RATE_HZ)
    assert gone.value.reason is Reason.NOT_FOUND
    camera = world.linked.camera(world.queue)
    camera.look()
    microphone.close()
    speaker.close()
    world.until(lambda: any("the glasses are gone" in note for note in world.notes), "said so")
    world.glasses.plug_in()
    world.until(lambda: world.linked.link.up, "the link is back")
    world.events.clear()
    world.until(lambda: not world.glasses.firmware.light, "nothing records before it is opened anew")
    n_before = len(world.pcm)
    microphone = world.linked.microphone(world.queue)
    world.until(lambda: len(world.pcm) > n_before, "sound again")
    speaker = world.linked.speaker(SAMPLE_RATE_HZ)
    clause = speaker.play(1, "well", np.full(SAMPLE_RATE_HZ // 4, 0.2, np.float32))
    world.until(lambda: clause.share == 1.0 and len(world.said) >= SAMPLE_RATE_HZ // 4, "speaks again")


def test_remote_glasses_restarted_restore_clock_and_text(world: World) -> None:
    """After a restart of the glasses, times are on this host's clock again and the text is back."""
    microphone = world.linked.microphone(world.queue)
    world.linked.show("as it was")
    world.until(lambda: hud_line(world.glasses, 4) == "as it was", "text")
    world.on_device(lambda: world.glasses.firmware.power_cycle(now_us()))
    world.until(lambda: microphone.gone, "gone")
    microphone.close()
    world.until(lambda: world.linked.link.up, "the link is back")
    world.events.clear()
    before_ns = time.monotonic_ns()
    world.linked.microphone(world.queue)
    world.until(lambda: len(world.pcm), "sound again")
    first = next(event for event in world.events if isinstance(event, AudioChunk))
    assert before_ns - 1_000_000_000 < first.t_ns < time.monotonic_ns()
    world.until(lambda: hud_line(world.glasses, 4) == "as it was", "text again")


def test_remote_glasses_mute_switch_refuses_the_microphone(world: World) -> None:
    microphone = world.linked.microphone(world.queue)
    assert not world.linked.muted
    world.simulate("mute", 1)
    world.until(lambda: world.linked.muted, "muted")
    microphone.close()
    with pytest.raises(SensorError) as refused:
        world.linked.microphone(world.queue)
    assert "muted" in str(refused.value)
    world.until(lambda: not world.glasses.firmware.light, "what was refused is not wanted any more")
    world.simulate("mute", 0)
    world.until(lambda: not world.linked.muted, "not muted")
    assert not world.glasses.firmware.light
    world.events.clear()
    world.linked.microphone(world.queue)
    world.until(lambda: len(world.pcm), "sound again")


def test_remote_glasses_named_local_devices_are_used_instead() -> None:
    with StandIn("pty", code=None) as glasses:
        linked = RemoteGlasses(
            glasses.address, None, LocalDevices("no such microphone", "no such speaker", "/dev/no-such-camera")
        )
        queue = EventQueue()
        opened = (
            lambda: linked.microphone(queue),
            lambda: linked.speaker(SAMPLE_RATE_HZ),
            lambda: linked.camera(queue),
        )
        try:
            for opens in opened:
                with pytest.raises(SensorError) as refused:
                    opens()
                assert refused.value.reason in (Reason.NOT_FOUND, Reason.NOT_INSTALLED)
        finally:
            linked.close()

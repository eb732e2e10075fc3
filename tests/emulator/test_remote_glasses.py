"""glasses.devices.remote with the real firmware behind a pty and a TCP port: the devices that the assistant opens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from firmware_bridge.security import key_of
from firmware_bridge.session import now_us
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import LocalDevices
from glasses.devices.remote import RemoteGlasses
from glasses.devices.remote_io import LEAD_MS, SEGMENT_MS
from glasses.errors import Reason, SensorError
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Button, Frame, SensorEvent
from tests.emulator.firmware import PHOTO
from tests.emulator.stand_in import StandIn
from tests.emulator.test_link_command import hud_line

PATIENCE_S = 30.0


class World:
    """Glasses, the link to them, and their output: `events` of the queue, `notes`, and the sound `said`."""

    def __init__(self, glasses: StandIn) -> None:
        self.glasses, self.queue = glasses, EventQueue()
        self.events, self.notes = list[SensorEvent](), list[str]()
        self.heard = bytearray()
        key = key_of(str(glasses.code))
        self.linked = RemoteGlasses(
            glasses.address, key, LocalDevices(), on_touch=self.queue.put, note=self.notes.append
        )
        self.on_device(lambda: glasses.firmware.listen(self.heard.extend))

    def on_device(self, what: Callable[[], object]) -> None:
        """Calls `what` between two steps of the firmware."""
        self.glasses.between_steps(what)

    def sound(self, pcm: np.ndarray) -> None:
        """Lets their microphone hear int16 (N,)."""
        self.on_device(lambda: self.glasses.firmware.sound(pcm))

    def simulate(self, what: str, value: int) -> None:
        """Simulates an input or a fault."""
        self.on_device(lambda: self.glasses.firmware.simulate(what, value))

    def until(self, true: Callable[[], object], what: str) -> None:
        """Takes events until `true` holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end_s, f"not within {PATIENCE_S:.0f} s: {what}; notes: {self.notes}"
            event = self.queue.get(0.02)
            if event is not None:
                self.events.append(event)

    @property
    def pcm(self) -> np.ndarray:
        """All sound received, int16 (N,)."""
        return np.concatenate([np.zeros(0, np.int16), *(e.pcm for e in self.events if isinstance(e, AudioChunk))])

    @property
    def frames(self) -> list[Frame]:
        """All pictures received."""
        return [event for event in self.events if isinstance(event, Frame)]

    @property
    def said(self) -> np.ndarray:
        """All sound that the speaker got, int16 (N,)."""
        return np.frombuffer(bytes(self.heard), np.int16)


@pytest.fixture(params=["pty", "tcp"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Connected glasses with no device opened."""
    with StandIn(request.param) as glasses:
        glasses.between_steps(lambda: glasses.firmware.sound(np.zeros(1, np.int16)))
        world = World(glasses)
        yield world
        world.linked.close()
        world.linked.close()


def tone(seconds: float) -> np.ndarray:
    """int16 samples without a zero."""
    return np.random.default_rng(1).integers(1000, 8000, round(seconds * SAMPLE_RATE_HZ)).astype(np.int16)


def test_remote_microphone_sound_is_whole_and_on_this_hosts_clock(world: World) -> None:
    microphone = world.linked.microphone(world.queue)
    assert microphone.device.name == f"host at {world.glasses.address}"
    world.until(lambda: len(world.pcm), "silence")  # the clock is known
    before_ns, spoken = time.monotonic_ns(), tone(0.5)
    world.sound(spoken)
    world.until(lambda: (world.pcm != 0).sum() >= len(spoken), "sound")
    pcm = world.pcm
    np.testing.assert_array_equal(pcm[pcm != 0], spoken)
    first = next(e for e in world.events if isinstance(e, AudioChunk) and e.pcm.any())
    assert before_ns - 50_000_000 < first.t_ns < time.monotonic_ns()
    assert {len(e.pcm) for e in world.events if isinstance(e, AudioChunk)} == {SAMPLE_RATE_HZ // 50}
    assert not microphone.gone
    microphone.close()
    microphone.close()
    assert microphone.gone
    world.until(lambda: not world.glasses.firmware.light, "the capture light goes out: it records no more")


def test_remote_glasses_touches_and_held_button_become_presses(world: World) -> None:
    for gesture in (1, 3, 2, 4):  # tap, long, double tap, a swipe that means nothing to us
        world.simulate("touch", gesture)
    world.until(lambda: len(world.events) == 3, "touches")
    assert [e.press for e in world.events if isinstance(e, Button)] == ["tap", "long_press", "double_tap"]
    world.simulate("button", 1)
    world.simulate("button", 0)
    world.until(lambda: len(world.events) == 4, "a short press")
    world.simulate("button", 1)
    time.sleep(0.8)
    world.simulate("button", 0)
    world.until(lambda: len(world.events) == 5, "a long press")
    presses = [e.press for e in world.events[3:] if isinstance(e, Button)]
    assert presses[1] == "long_press"
    assert abs(world.events[4].t_ns - time.monotonic_ns()) < PATIENCE_S * 1e9


def test_remote_glasses_failing_touch_handler_costs_that_touch_alone(world: World) -> None:
    def fails(button: Button) -> None:
        world.linked.on_touch = world.queue.put
        raise RuntimeError("of a handler")

    world.linked.on_touch = fails
    world.simulate("touch", 1)
    world.until(lambda: world.linked.on_touch is not fails, "the failure")
    world.simulate("touch", 2)
    world.until(lambda: world.events, "a touch after it")
    assert [e.press for e in world.events if isinstance(e, Button)] == ["double_tap"]


def test_remote_speaker_clause_arrives_whole_and_in_the_reference(world: World) -> None:
    """A clause reaches the speaker whole and is given to the echo canceller as its reference."""
    speaker, spoken = world.linked.speaker(SAMPLE_RATE_HZ), tone(0.5)
    clause = speaker.play(1, "well", spoken.astype(np.float32) / np.float32(32767))
    reference = list[np.ndarray]()
    world.until(lambda: not speaker.is_speaking, "said")
    world.until(lambda: len(world.said) >= len(spoken), "arrived")
    reference += [pcm for _, pcm in speaker.reference.take()]
    np.testing.assert_array_equal(world.said[: len(spoken)], spoken)
    played = np.concatenate(reference)
    np.testing.assert_array_equal(played[np.flatnonzero(played)[0] :][: len(spoken)], spoken)
    assert clause.share == 1.0
    assert clause.first_ns is not None
    speaker.close()
    assert speaker.gone


def test_remote_speaker_silenced_plays_no_more_than_its_lead(world: World) -> None:
    """It has played no more than its lead beyond what counts as heard."""
    speaker = world.linked.speaker(SAMPLE_RATE_HZ)
    clause = speaker.play(1, "a long one", np.full(20 * SAMPLE_RATE_HZ, 0.1, np.float32))
    world.until(lambda: len(world.said) > SAMPLE_RATE_HZ // 2, "speaking")
    handed = clause.n_samples_played
    (heard,) = speaker.silence()
    assert not speaker.is_speaking
    assert heard.n_samples_played > 0
    time.sleep(0.5)  # what was on its way arrives
    at_rest = len(world.said)
    time.sleep(0.5)
    assert len(world.said) == at_rest, "it went on speaking"
    slack = 2 * SAMPLE_RATE_HZ * SEGMENT_MS // 1000  # one segment between the two readings, one of fading
    assert at_rest <= handed + slack
    assert at_rest - heard.n_samples_played <= SAMPLE_RATE_HZ * (LEAD_MS + 200) // 1000 + slack
    again = speaker.play(2, "next", np.full(SAMPLE_RATE_HZ // 4, 0.2, np.float32))
    world.until(lambda: again.share == 1.0, "the next is said")


def test_remote_camera_look_gives_a_picture_or_a_note(world: World) -> None:
    assert world.linked.sees
    camera = world.linked.camera(world.queue)
    world.on_device(lambda: world.glasses.firmware.show(PHOTO.read_bytes()))
    camera.look()
    world.until(lambda: len(world.frames) == 1, "a picture")
    assert max(world.frames[0].rgb.shape) <= 640
    assert world.frames[0].rgb.std() > 1
    bad = {
        "no JPEG": b"nothing like a picture " * 100,
        "photograph": b"\xff\xd8" + np.random.default_rng(1).bytes(4000).replace(b"\xff", b"\0") + b"\xff\xd9",
        "10000 x 10000": _huge(),
    }
    for said, jpeg in bad.items():
        world.on_device(lambda jpeg=jpeg: world.glasses.firmware.show(jpeg))
        n_notes = len(world.notes)
        camera.look()
        world.until(lambda n=n_notes: len(world.notes) > n, "a note")
        assert world.notes[-1].startswith("no picture: ")
        assert said in world.notes[-1]
    world.simulate("camera_fault", 1)
    n_notes = len(world.notes)
    camera.look()
    world.until(lambda: len(world.notes) > n_notes, "a note of the fault")
    assert "fault" in world.notes[-1]
    world.simulate("camera_fault", 0)
    world.on_device(lambda: world.glasses.firmware.show(PHOTO.read_bytes()))
    camera.look()
    world.until(lambda: len(world.frames) == 2, "a picture again")
    camera.close()
    camera.look()
    world.until(lambda: not world.glasses.firmware.light, "it was taken")
    assert len(world.frames) == 2


def _huge() -> bytes:
    """A progressive JPEG whose header claims 10,000 pixels square, which cannot be decoded smaller."""
    jpeg = bytearray(PHOTO.read_bytes())
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 1] = 0xC2
    jpeg[at + 5 : at + 9] = (10_000).to_bytes(2) * 2
    return bytes(jpeg)


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


def test_remote_hud_long_text_is_wrapped_to_its_last_lines(world: World) -> None:
    """The HUD shows the newest text, wrapped; of a text that is too long, the last lines."""
    text = "The capital of France is Paris, and it has been so for longer than I can say."
    world.linked.show("something older")
    world.linked.show(text)
    lines = ["The capital of France is Paris, and it", "has been so for longer than I can say."]
    world.until(lambda: [hud_line(world.glasses, y) for y in (4, 15)] == lines, "text")
    world.linked.show(" ".join(str(number) for number in range(1, 400)))
    world.until(lambda: hud_line(world.glasses, 4 + 11 * 9).endswith("399"), "its end")
    world.linked.show("")
    world.until(lambda: hud_line(world.glasses, 4) == "", "blank")
    world.linked.show("bye")
    world.until(lambda: hud_line(world.glasses, 4) == "bye", "shown")
    world.linked.close()
    assert hud_line(world.glasses, 4) == ""


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

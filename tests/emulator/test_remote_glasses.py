"""glasses.devices.remote with the real firmware behind a pty and a TCP port: the devices that the assistant opens."""

from __future__ import annotations

import time

import numpy as np

from glasses.devices.remote_io import LEAD_MS, SEGMENT_MS
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Button
from tests.emulator.firmware import PHOTO
from tests.emulator.remote_world import PATIENCE_S, World
from tests.emulator.test_link_command import hud_line


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

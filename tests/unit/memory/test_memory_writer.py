"""MemoryWriter and ViewFilter with stand-ins for the encoders: what they encode, recall and forget, and failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from glasses.evaluation.bench import views
from glasses.memory.latent_memory import LatentMemory, Tier
from glasses.memory.view_filter import CHANGED_EVERY_S, NEAR_S, ViewFilter
from glasses.memory.writer import CONFIRM_S, MemoryWriter
from glasses.runtime.modalities import memory_policies
from glasses.system.supervised import failed_threads
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Button, Frame, Latents

SECOND = (0.3 * 32767 * np.sin(np.arange(SAMPLE_RATE_HZ) / 5)).astype(np.int16)


class Encoders:
    """Latents of the right shape at no cost."""

    def __init__(self) -> None:
        self.n_pictures = 0

    def sound(self, pcm: Any, t_ns: int) -> Latents:
        data = np.ones((2 * len(pcm) // SAMPLE_RATE_HZ + 1, 4), np.float32)
        return Latents(t_ns, len(pcm) * NS_PER_S // SAMPLE_RATE_HZ, "sound", data, "sound:0")

    def image(self, rgb: Any, t_ns: int) -> Latents:
        self.n_pictures += 1
        return Latents(t_ns, 0, "image", np.full((2, 4), rgb.mean(), np.float32), "image:0")


@pytest.fixture
def encoders() -> Encoders:
    return Encoders()


@pytest.fixture
def writer(encoders: Encoders) -> Iterator[MemoryWriter]:
    with MemoryWriter(encoders.sound, encoders.image, LatentMemory(memory_policies())) as opened:
        yield opened


def play(writer: MemoryWriter, from_s: float, pcm: np.ndarray, *, speech: bool) -> None:
    for first in range(0, len(pcm), 320):
        t_ns = round(from_s * NS_PER_S) + first * NS_PER_S // SAMPLE_RATE_HZ
        writer.observe(AudioChunk(t_ns, 0, pcm[first : first + 320], SAMPLE_RATE_HZ), speech=speech)


def look(writer: MemoryWriter, t_s: float, grey: int) -> None:
    writer.observe(Frame(round(t_s * NS_PER_S), 0, np.full((64, 64, 3), grey, np.uint8)), speech=False)


def test_writer_recalls_a_sound_and_not_talk(writer: MemoryWriter) -> None:
    play(writer, 1, np.pad(SECOND, (0, SAMPLE_RATE_HZ)), speech=False)
    play(writer, 3, np.pad(SECOND, (0, SAMPLE_RATE_HZ)), speech=True)
    writer.settle()
    (sound,) = writer.recall("sound", 20 * NS_PER_S)
    assert 1 * NS_PER_S <= sound.t_ns < 2 * NS_PER_S
    assert writer.recall("", 20 * NS_PER_S) == writer.recall("wipe", 20 * NS_PER_S) == ()


def test_writer_encodes_a_view_only_where_it_changed(writer: MemoryWriter, encoders: Encoders) -> None:
    for tick in range(20):  # ten seconds of the same view, then of another
        look(writer, tick / 2, 50 if tick < 10 else 200)
    writer.settle()
    assert encoders.n_pictures == 2
    look(writer, 60, 200)
    writer.settle()
    assert encoders.n_pictures == 3, "what has not changed for half a minute is still what is seen"
    (seen,) = writer.recall("picture", 61 * NS_PER_S)
    assert seen.data[0, 0] == 200
    assert writer.recall_last(61 * NS_PER_S)[0].modality == "image"


def test_writer_sound_that_begins_keeps_one_picture(writer: MemoryWriter, encoders: Encoders) -> None:
    def kept(from_s: float, *, sound: bool) -> int:
        before = encoders.n_pictures
        for half in range(2):
            play(writer, from_s + half / 2, SECOND[:8000] * sound, speech=False)
            look(writer, from_s + half / 2 + 0.5, 50)
        writer.settle()
        return encoders.n_pictures - before

    assert kept(1, sound=False) == 1, "the first view"
    assert [kept(s, sound=True) for s in range(2, 10)] == [1, *[0] * 7], "one sound, though it is cut into pieces"
    assert kept(10, sound=False) == 0
    assert kept(11, sound=True) == 1, "after half a second of silence it is another sound"
    assert kept(12, sound=False) == 0
    assert kept(13, sound=False) == 0
    play(writer, 14, SECOND, speech=False)
    writer.discard_unfinished()
    look(writer, 15, 50)
    writer.settle()
    assert encoders.n_pictures == 4, "a new beginning, not the sound before it"
    look(writer, 15.5, 50)
    writer.settle()
    assert encoders.n_pictures == 4


def test_view_filter_old_or_frequent_sounds_keep_no_picture_each() -> None:
    view_filter, grey = ViewFilter(), np.full((64, 64, 3), 90, np.uint8)
    assert view_filter.is_new(grey, 0)
    view_filter.sound_began(1 * NS_PER_S)
    assert not view_filter.is_new(grey, round(1 * NS_PER_S + NEAR_S * NS_PER_S)), (
        "what is seen now may not have made it"
    )
    n_kept = 0
    for half in range(8, 28):  # a sound each half second, for ten seconds
        view_filter.sound_began(half * NS_PER_S // 2)
        n_kept += view_filter.is_new(grey, half * NS_PER_S // 2)
    assert n_kept == 10 / CHANGED_EVERY_S


def test_writer_wipe_forgets_queued_events_too(writer: MemoryWriter) -> None:
    look(writer, 1, 50)
    play(writer, 1, np.tile(SECOND, 6), speech=False)
    writer.wipe()
    writer.settle()
    play(writer, 60, np.zeros(SAMPLE_RATE_HZ, np.int16), speech=False)
    writer.settle()
    assert writer.usage()[1] == 0
    assert writer.recall_last(60 * NS_PER_S) == ()


def test_writer_without_events_still_ages_the_memory(
    encoders: Encoders,
) -> None:
    memory = LatentMemory(memory_policies(), tiers=(Tier(0.5, 50, 0),))
    with MemoryWriter(encoders.sound, encoders.image, memory, age_s=0.05) as writer:
        look(writer, 1.0, 90)
        writer.settle()
        assert memory.n_bytes
        end_s = time.monotonic() + 30
        while memory.n_bytes:
            assert time.monotonic() < end_s, "it is remembered for ever"
            time.sleep(0.02)


def test_writer_requested_wipe_needs_a_touch_in_time(writer: MemoryWriter) -> None:
    look(writer, 1, 50)
    writer.settle()
    assert not writer.confirm_wipe(Button(2 * NS_PER_S, "tap"))
    writer.request_wipe(3 * NS_PER_S)
    assert not writer.confirm_wipe(Button(2 * NS_PER_S, "tap")), "a touch before the question answers nothing"
    assert not writer.confirm_wipe(Button(round((3 + CONFIRM_S + 1) * NS_PER_S), "tap"))
    assert writer.usage()[1] > 0
    assert writer.confirm_wipe(Button(5 * NS_PER_S, "tap"))
    assert writer.usage()[1] == 0
    assert not writer.confirm_wipe(Button(6 * NS_PER_S, "tap")), "one touch, one wipe"


def test_view_filter_steady_views_are_kept_at_a_third_of_the_cost() -> None:
    figures = views.run()
    for how_long in ("2 to 5 s", "over 5 s"):
        n, of = figures["views_kept"][how_long]
        assert n == of > 20
    assert figures["encoded_a_minute"] < figures["seen_a_minute"] / 3
    assert figures["sounds"]["shown"] > figures["sounds"]["shown_deaf"]
    assert figures["encoded_a_minute_with_sounds"] < figures["encoded_a_minute"] + figures["sounds_a_minute"]


class ForeignError(Exception):
    """An exception of a library, which is no GlassesError."""


def test_writer_foreign_exception_loses_one_event_and_is_reported(encoders: Encoders) -> None:
    def image(rgb: Any, t_ns: int) -> Latents:
        if rgb[0, 0, 0] == 66:
            raise ForeignError("the session broke")
        return encoders.image(rgb, t_ns)

    with MemoryWriter(encoders.sound, image, LatentMemory(memory_policies())) as writer:
        look(writer, 1, 66)
        look(writer, 5, 200)
        writer.settle()
        (seen,) = writer.recall("picture", 6 * NS_PER_S)
        assert seen.data[0, 0] == 200
        (failed,) = failed_threads()
        assert failed.name == "memory"
        assert isinstance(failed.failure, ForeignError)
    assert failed_threads() == []


def test_writer_close_returns_with_a_hanging_encoder_and_a_full_queue(encoders: Encoders) -> None:
    entered, release = threading.Event(), threading.Event()

    def image(rgb: Any, t_ns: int) -> Latents:
        entered.set()
        release.wait()
        return encoders.image(rgb, t_ns)

    writer = MemoryWriter(encoders.sound, image, LatentMemory(memory_policies()), close_s=0.05)
    look(writer, 1, 50)
    assert entered.wait(30)
    play(writer, 2, np.tile(SECOND, 10), speech=False)
    assert writer.n_lost > 0
    writer.close()  # must come back; the thread is let go below
    release.set()


def test_writer_hanging_encoder_keeps_nobody_from_muting_and_wiping(encoders: Encoders) -> None:
    """What it was encoding is not remembered afterwards."""
    hangs, go_on = threading.Event(), threading.Event()

    def hang(pcm: Any, t_ns: int) -> Latents:
        hangs.set()
        assert go_on.wait(30)
        return encoders.sound(pcm, t_ns)

    with MemoryWriter(hang, encoders.image, LatentMemory(memory_policies())) as writer:
        play(writer, 1, np.pad(SECOND, (0, SAMPLE_RATE_HZ)), speech=False)
        assert hangs.wait(30)
        writer.discard_unfinished()
        assert writer.wipe() == 0
        assert writer.usage()[0] == 0.0
        go_on.set()
        writer.settle()
        assert writer.recall_last(20 * NS_PER_S) == ()

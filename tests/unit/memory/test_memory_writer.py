"""What the running senses leave behind, with stand-ins for the encoders: what is encoded, recalled and forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from glasses.evaluation.bench import views
from glasses.memory import writer as module
from glasses.memory.latent_memory import LatentMemory, Tier
from glasses.memory.view_filter import EVERY_S, NEAR_S, ViewFilter
from glasses.memory.writer import CONFIRM_S, MemoryWriter
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
def remembering(encoders: Encoders) -> Iterator[MemoryWriter]:
    with MemoryWriter(encoders.sound, encoders.image) as opened:
        yield opened


def play(remembering: MemoryWriter, from_s: float, pcm: np.ndarray, *, speech: bool) -> None:
    for first in range(0, len(pcm), 320):
        t_ns = round(from_s * NS_PER_S) + first * NS_PER_S // SAMPLE_RATE_HZ
        remembering.saw(AudioChunk(t_ns, 0, pcm[first : first + 320], SAMPLE_RATE_HZ), speech=speech)


def look(remembering: MemoryWriter, t_s: float, grey: int) -> None:
    remembering.saw(Frame(round(t_s * NS_PER_S), 0, np.full((64, 64, 3), grey, np.uint8)), speech=False)


def settled(remembering: MemoryWriter) -> None:
    """Until everything given so far is worked off."""
    remembering._waiting.join()


def test_a_sound_is_recalled_and_talk_is_not_taken_for_one(remembering: MemoryWriter) -> None:
    play(remembering, 1, np.pad(SECOND, (0, SAMPLE_RATE_HZ)), speech=False)
    play(remembering, 3, np.pad(SECOND, (0, SAMPLE_RATE_HZ)), speech=True)
    settled(remembering)
    (sound,) = remembering.recall("sound", 20 * NS_PER_S)
    assert 1 * NS_PER_S <= sound.t_ns < 2 * NS_PER_S
    assert remembering.recall("", 20 * NS_PER_S) == remembering.recall("wipe", 20 * NS_PER_S) == ()


def test_only_a_view_that_changes_costs_an_encoding(remembering: MemoryWriter, encoders: Encoders) -> None:
    for tick in range(20):  # ten seconds of the same view, then of another
        look(remembering, tick / 2, 50 if tick < 10 else 200)
    settled(remembering)
    assert encoders.n_pictures == 2
    look(remembering, 60, 200)
    settled(remembering)
    assert encoders.n_pictures == 3, "what has not changed for half a minute is still what is seen"
    (seen,) = remembering.recall("picture", 61 * NS_PER_S)
    assert seen.data[0, 0] == 200
    assert remembering.last(61 * NS_PER_S)[0].modality == "image"


def test_a_sound_that_begins_keeps_the_next_picture_once(remembering: MemoryWriter, encoders: Encoders) -> None:
    def kept(from_s: float, *, sound: bool) -> int:
        before = encoders.n_pictures
        for half in range(2):
            play(remembering, from_s + half / 2, SECOND[:8000] * sound, speech=False)
            look(remembering, from_s + half / 2 + 0.5, 50)
        settled(remembering)
        return encoders.n_pictures - before

    assert kept(1, sound=False) == 1, "the first view"
    assert [kept(s, sound=True) for s in range(2, 10)] == [1, *[0] * 7], "one sound, though it is cut into pieces"
    assert kept(10, sound=False) == 0
    assert kept(11, sound=True) == 1, "after half a second of silence it is another sound"
    assert kept(12, sound=False) == 0
    assert kept(13, sound=False) == 0
    play(remembering, 14, SECOND, speech=False)
    remembering.forget_unfinished()
    look(remembering, 15, 50)
    settled(remembering)
    assert encoders.n_pictures == 4, "a new beginning, not the sound before it"
    look(remembering, 15.5, 50)
    settled(remembering)
    assert encoders.n_pictures == 4


def test_no_picture_is_kept_for_a_sound_that_is_long_over_nor_for_each_of_many() -> None:
    gate, grey = ViewFilter(), np.full((64, 64, 3), 90, np.uint8)
    assert gate.is_new(grey, 0)
    gate.hears(1 * NS_PER_S)
    assert not gate.is_new(grey, round(1 * NS_PER_S + NEAR_S * NS_PER_S)), "what is seen now may not have made it"
    n_kept = 0
    for half in range(8, 28):  # a sound each half second, for ten seconds
        gate.hears(half * NS_PER_S // 2)
        n_kept += gate.is_new(grey, half * NS_PER_S // 2)
    assert n_kept == 10 / EVERY_S


def test_after_a_wipe_nothing_is_left_not_even_what_waited(remembering: MemoryWriter) -> None:
    look(remembering, 1, 50)
    play(remembering, 1, np.tile(SECOND, 6), speech=False)
    remembering.wipe()
    settled(remembering)
    play(remembering, 60, np.zeros(SAMPLE_RATE_HZ, np.int16), speech=False)
    settled(remembering)
    assert remembering.held()[1] == 0
    assert remembering.last(60 * NS_PER_S) == ()


def test_what_is_too_old_goes_also_where_nothing_comes_any_more(
    encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGE_S", 0.05)
    memory = LatentMemory(tiers=(Tier(0.5, 50, 0),))
    with MemoryWriter(encoders.sound, encoders.image, memory) as remembering:
        look(remembering, 1.0, 90)
        settled(remembering)
        assert memory.n_bytes
        end_s = time.monotonic() + 30
        while memory.n_bytes:
            assert time.monotonic() < end_s, "it is remembered for ever"
            time.sleep(0.02)


def test_asked_by_voice_it_wipes_only_where_a_touch_says_so_in_time(remembering: MemoryWriter) -> None:
    look(remembering, 1, 50)
    settled(remembering)
    assert not remembering.confirms(Button(2 * NS_PER_S, "tap"))
    remembering.ask_wipe(3 * NS_PER_S)
    assert not remembering.confirms(Button(2 * NS_PER_S, "tap")), "a touch before the question answers nothing"
    assert not remembering.confirms(Button(round((3 + CONFIRM_S + 1) * NS_PER_S), "tap"))
    assert remembering.held()[1] > 0
    assert remembering.confirms(Button(5 * NS_PER_S, "tap"))
    assert remembering.held()[1] == 0
    assert not remembering.confirms(Button(6 * NS_PER_S, "tap")), "one touch, one wipe"


def test_of_views_that_are_rested_on_the_gate_loses_none_and_saves_most_of_the_encoding() -> None:
    figures = views.run()
    for how_long in ("2 to 5 s", "over 5 s"):
        n, of = figures["views_kept"][how_long]
        assert n == of > 20
    assert figures["encoded_a_minute"] < figures["seen_a_minute"] / 3
    assert figures["sounds"]["shown"] > figures["sounds"]["shown_deaf"]
    assert figures["encoded_a_minute_with_sounds"] < figures["encoded_a_minute"] + figures["sounds_a_minute"]

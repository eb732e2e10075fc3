"""Live sound is cut into segments where it falls silent."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.errors import InputError, Reason
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.sound_segmenter import SoundSegmenter
from glasses.runtime.modalities import memory_policies
from glasses.types import NS_PER_S, AudioChunk, Float32Array, Latents


def chunks(seconds: float, amplitude: float, *, from_s: float = 0.0) -> list[AudioChunk]:
    rng = np.random.default_rng(0)
    n = int(seconds * 50)
    pcm = (amplitude * 32767 * rng.uniform(-1, 1, (n, 320))).astype(np.int16)
    return [AudioChunk(int(from_s * NS_PER_S) + i * NS_PER_S // 50, i, one, 16_000) for i, one in enumerate(pcm)]


class Hearing:
    """Stands where encoders stand; remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []

    def __call__(self, pcm: Float32Array, t_ns: int) -> tuple[Latents, ...]:
        self.given.append((t_ns, len(pcm)))
        return (Latents(t_ns, len(pcm) * NS_PER_S // 16_000, "sound", np.zeros((4, 8), np.float32), "encoder:1"),)


def feed(segmenter: SoundSegmenter, given: list[AudioChunk], speech: bool = False) -> int:
    return sum(segmenter.feed(chunk, speech=speech) for chunk in given)


def test_sound_segmenter_segments_end_with_silence_which_is_not_encoded() -> None:
    hearing = Hearing()
    segmenter = SoundSegmenter(LatentMemory(memory_policies()), hearing)
    assert feed(segmenter, chunks(10, 0.0005)) == 0
    assert feed(segmenter, chunks(1.2, 0.3, from_s=10)) == 0
    assert feed(segmenter, chunks(5, 0.0005, from_s=11.2)) == 1
    assert hearing.given == [(10 * NS_PER_S, int(1.7 * 16_000))]


def test_sound_segmenter_steady_sound_gives_segments_without_a_gap() -> None:
    hearing = Hearing()
    assert feed(SoundSegmenter(LatentMemory(memory_policies()), hearing), chunks(13, 0.3)) == 3
    assert hearing.given == [(t_s * NS_PER_S, 64_000) for t_s in (0, 4, 8)]


def test_sound_segmenter_sound_just_before_speech_is_kept_apart() -> None:
    memory, hearing = LatentMemory(memory_policies()), Hearing()
    segmenter = SoundSegmenter(memory, hearing)
    feed(segmenter, chunks(1, 0.3))
    assert feed(segmenter, chunks(2, 0.3, from_s=1), speech=True) == 1
    assert feed(segmenter, chunks(1, 0.0005, from_s=3)) == 1
    assert hearing.given == [(0, 16_000), (1 * NS_PER_S, 40_000)]
    (got,) = memory.recall("sound", 9 * NS_PER_S)
    assert got.t_ns == 0, "the second piece was speech"


def test_sound_segmenter_reset_drops_the_unfinished_segment() -> None:
    hearing = Hearing()
    segmenter = SoundSegmenter(LatentMemory(memory_policies()), hearing)
    feed(segmenter, chunks(1, 0.3))
    segmenter.reset()
    feed(segmenter, chunks(1, 0.3, from_s=1))
    assert hearing.given == []
    feed(segmenter, chunks(1, 0.0005, from_s=2))
    assert hearing.given == [(1 * NS_PER_S, 24_000)]


@pytest.mark.parametrize("after_s", [3.2, 60])
def test_sound_segmenter_hole_ends_a_segment_and_loses_none(after_s: float) -> None:
    """Sound that a busy machine dropped, or that it placed anew in time, takes nothing of the rest with it."""
    memory, hearing = LatentMemory(memory_policies()), Hearing()
    segmenter = SoundSegmenter(memory, hearing)
    assert feed(segmenter, chunks(3, 0.3)) == 0
    assert feed(segmenter, chunks(0.6, 0.3, from_s=after_s)) == 1
    assert feed(segmenter, chunks(1, 0.0005, from_s=after_s + 0.6)) == 1
    assert hearing.given == [(0, 48_000), (int(after_s * NS_PER_S), 17_600)]
    (last,) = memory.recall("sound", 65 * NS_PER_S, within_s=65)
    assert last.t_ns == (0 if after_s < 4 else 60 * NS_PER_S)


def test_sound_segmenter_noise_before_a_hole_is_too_short_to_remember() -> None:
    hearing = Hearing()
    segmenter = SoundSegmenter(LatentMemory(memory_policies()), hearing)
    assert feed(segmenter, chunks(0.2, 0.3)) == 0
    assert feed(segmenter, chunks(1, 0.0005, from_s=60)) == 0
    assert hearing.given == []


def test_sound_segmenter_encoder_error_is_raised_and_the_next_is_encoded() -> None:
    calls = []

    def hear(pcm: Float32Array, t_ns: int) -> tuple[Latents, ...]:
        calls.append(t_ns)
        raise InputError(Reason.BAD_INPUT, "no")

    segmenter = SoundSegmenter(LatentMemory(memory_policies()), hear)
    for from_s in (0, 4):
        with pytest.raises(InputError):
            feed(segmenter, chunks(4, 0.3, from_s=from_s))
    assert calls == [0, 4 * NS_PER_S]

"""The ring buffer of sound, and loudness. No models."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.audio.loudness import is_audible
from glasses.audio.ring_buffer import RingBuffer
from glasses.errors import InputError, Reason
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, AudioChunk


def chunk(t_ms: int, pcm: np.ndarray, rate_hz: int = SAMPLE_RATE_HZ) -> AudioChunk:
    return AudioChunk(t_ms * NS_PER_MS, 0, pcm, rate_hz)


@pytest.mark.parametrize("size", [112, 320, 5000])
def test_ring_buffer_read_returns_what_was_written(size: int) -> None:
    pcm = (np.arange(SAMPLE_RATE_HZ * 20) % 30_011).astype(np.int16)
    ring = RingBuffer(3)
    for first in range(0, len(pcm), size):
        ring.append(AudioChunk(first * 1_000_000_000 // SAMPLE_RATE_HZ, 0, pcm[first : first + size], SAMPLE_RATE_HZ))
    held = ring.between(18_000 * NS_PER_MS, 19_500 * NS_PER_MS)
    assert np.array_equal(held * 32768, pcm[18 * SAMPLE_RATE_HZ : 19 * SAMPLE_RATE_HZ + SAMPLE_RATE_HZ // 2])
    assert len(ring.between(19_900 * NS_PER_MS, 99_000 * NS_PER_MS)) == SAMPLE_RATE_HZ // 10  # not yet heard: not there
    assert len(ring.between(0, 1000 * NS_PER_MS)) == 0  # no longer held: not there


def test_ring_buffer_short_hole_is_bridged_and_a_long_one_begins_anew() -> None:
    ring = RingBuffer(3)
    assert ring.append(chunk(0, np.ones(320, np.int16))) is None
    added = ring.append(chunk(120, np.ones(320, np.int16)))
    assert added is not None
    assert (len(added), added[:1600].any(), ring.begin_ns) == (1600 + 320, False, 0)
    assert ring.append(chunk(10_000, np.ones(320, np.int16))) is None
    assert ring.begin_ns == 10_000 * NS_PER_MS
    assert ring.append(chunk(5_000, np.ones(320, np.int16))) is None  # time going back is a new stream, too


@pytest.mark.parametrize("moved_ms", [-300, -45, 45])
def test_ring_buffer_clock_placed_anew_loses_and_adds_no_sound(moved_ms: int) -> None:
    ring = RingBuffer(3)
    pcm = np.arange(SAMPLE_RATE_HZ // 2, dtype=np.int16)
    for i in range(0, len(pcm), 320):
        t_ms = 10_000 + i // 16 + (moved_ms if i >= len(pcm) // 2 else 0)
        ring.append(chunk(t_ms, pcm[i : i + 320]))
    assert np.array_equal(ring.between((10_000 + moved_ms) * NS_PER_MS, 20_000 * NS_PER_MS) * 32768, pcm)


@pytest.mark.parametrize("bad", [chunk(0, np.zeros(320, np.int16), 8000), chunk(0, np.zeros(320, np.float32))])
def test_ring_buffer_other_sample_format_is_refused(bad: AudioChunk) -> None:
    with pytest.raises(InputError) as caught:
        RingBuffer(3).append(bad)
    assert caught.value.reason is Reason.BAD_INPUT


def test_is_audible_sound_and_silence_are_told_apart() -> None:
    tone = np.sin(np.arange(SAMPLE_RATE_HZ) / 10).astype(np.float32)
    assert is_audible(0.02 * tone)  # -37 dBFS
    assert not is_audible(0.002 * tone)
    assert not is_audible(np.zeros(0, np.float32))

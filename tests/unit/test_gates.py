"""The gates alone: touch and silence, the ring of sound, loudness. No models."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.errors import InputError, Reason
from glasses.gates.addressed import END_SILENCE_MS, LONGEST_MS, NO_SPEECH_MS, AddressGate, Span
from glasses.gates.level import is_audible
from glasses.gates.ring import RATE_HZ, SoundRing
from glasses.types import AudioChunk

MS = 1_000_000
STEP_MS = 32


def play(gate: AddressGate, speech_ms: list[tuple[int, int]], from_ms: int, to_ms: int) -> Span | None:
    """Steps through a stretch in which somebody speaks during `speech_ms`."""
    for t_ms in range(from_ms, to_ms, STEP_MS):
        probability = float(any(a <= t_ms < b for a, b in speech_ms))
        if span := gate.step(t_ms * MS, (t_ms + STEP_MS) * MS, probability):
            return span
    return None


def test_speech_without_a_touch_opens_nothing() -> None:
    gate = AddressGate()
    assert play(gate, [(0, 5000)], 0, 10_000) is None
    assert not gate.is_open


def test_turn_ends_after_silence_and_not_in_a_short_pause() -> None:
    gate = AddressGate()
    gate.touch(0, look=False)
    span = play(gate, [(320, 960), (1280, 2560)], 0, 10_000)
    assert span is not None
    assert span.spoken_ns == (320 * MS, 2560 * MS)
    assert END_SILENCE_MS <= (span.decided_ns - span.end_ns) / MS < END_SILENCE_MS + STEP_MS
    assert not gate.is_open


def test_touch_without_a_word_is_a_turn_of_its_own() -> None:
    gate = AddressGate()
    gate.touch(0, look=True)
    span = play(gate, [], 0, 10_000)
    assert span is not None
    assert span.spoken_ns is None
    assert span.look
    assert NO_SPEECH_MS <= span.decided_ns / MS < NO_SPEECH_MS + STEP_MS


def test_endless_speech_is_cut() -> None:
    gate = AddressGate()
    gate.touch(0, look=False)
    span = play(gate, [(0, 100_000)], 0, 100_000)
    assert span is not None
    assert LONGEST_MS <= span.decided_ns / MS < LONGEST_MS + STEP_MS


def test_step_that_began_before_the_touch_does_not_count() -> None:
    gate = AddressGate()
    gate.touch(100 * MS, look=False)
    gate.step(90 * MS, 122 * MS, 1.0)
    assert play(gate, [], 122, 10_000).spoken_ns is None  # pyright: ignore[reportOptionalMemberAccess]


def test_second_touch_adds_the_look_and_keeps_the_beginning() -> None:
    gate = AddressGate()
    gate.touch(0, look=False)
    gate.touch(500 * MS, look=True)
    span = play(gate, [], 0, 10_000)
    assert span is not None
    assert (span.touched_ns, span.look) == (0, True)


def chunk(t_ms: int, pcm: np.ndarray, rate_hz: int = RATE_HZ) -> AudioChunk:
    return AudioChunk(t_ms * MS, 0, pcm, rate_hz)


@pytest.mark.parametrize("size", [112, 320, 5000])
def test_ring_gives_back_what_went_in(size: int) -> None:
    pcm = (np.arange(RATE_HZ * 20) % 30_011).astype(np.int16)
    ring = SoundRing(3)
    for first in range(0, len(pcm), size):
        ring.append(AudioChunk(first * 1_000_000_000 // RATE_HZ, 0, pcm[first : first + size], RATE_HZ))
    held = ring.between(18_000 * MS, 19_500 * MS)
    assert np.array_equal(held * 32768, pcm[18 * RATE_HZ : 19 * RATE_HZ + RATE_HZ // 2])
    assert len(ring.between(19_900 * MS, 99_000 * MS)) == RATE_HZ // 10  # not yet heard: not there
    assert len(ring.between(0, 1000 * MS)) == 0  # no longer held: not there


def test_ring_bridges_a_short_hole_and_begins_anew_after_a_long_one() -> None:
    ring = SoundRing(3)
    assert ring.append(chunk(0, np.ones(320, np.int16))) is None
    added = ring.append(chunk(120, np.ones(320, np.int16)))
    assert added is not None
    assert (len(added), added[:1600].any(), ring.begin_ns) == (1600 + 320, False, 0)
    assert ring.append(chunk(10_000, np.ones(320, np.int16))) is None
    assert ring.begin_ns == 10_000 * MS
    assert ring.append(chunk(5_000, np.ones(320, np.int16))) is None  # time going back is a new stream, too


@pytest.mark.parametrize("moved_ms", [-300, -45, 45])
def test_a_clock_placed_anew_costs_no_sound_and_adds_none(moved_ms: int) -> None:
    ring = SoundRing(3)
    pcm = np.arange(RATE_HZ // 2, dtype=np.int16)
    for i in range(0, len(pcm), 320):
        t_ms = 10_000 + i // 16 + (moved_ms if i >= len(pcm) // 2 else 0)
        ring.append(chunk(t_ms, pcm[i : i + 320]))
    assert np.array_equal(ring.between((10_000 + moved_ms) * MS, 20_000 * MS) * 32768, pcm)


@pytest.mark.parametrize("bad", [chunk(0, np.zeros(320, np.int16), 8000), chunk(0, np.zeros(320, np.float32))])
def test_ring_refuses_other_sound(bad: AudioChunk) -> None:
    with pytest.raises(InputError) as caught:
        SoundRing(3).append(bad)
    assert caught.value.reason is Reason.BAD_INPUT


def test_audible() -> None:
    tone = np.sin(np.arange(RATE_HZ) / 10).astype(np.float32)
    assert is_audible(0.02 * tone)  # -37 dBFS
    assert not is_audible(0.002 * tone)
    assert not is_audible(np.zeros(0, np.float32))

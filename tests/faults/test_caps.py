"""Eighty minutes of speech, music or noise on end: every state has a cap, and nothing held outgrows its bound."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.assistant.turn_manager import CAPS, REPLY_MS, TurnManager, TurnState
from glasses.audio.ring_buffer import RingBuffer
from glasses.events import TurnEvent
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.sound_segmenter import LONGEST_MS as LONGEST_SEGMENT_MS
from glasses.memory.sound_segmenter import SoundSegmenter
from glasses.runtime.modalities import memory_policies
from glasses.types import SAMPLE_RATE_HZ, AudioChunk, Float32Array, Latents

MS, STEP_MS, MINUTES = 1_000_000, 32, 80
CAP_MS = {state: cap_ms for state, (cap_ms, _) in CAPS.items()}


@pytest.mark.parametrize("replies", [True, False])
def test_turn_manager_endless_speech_keeps_no_state_beyond_its_cap(replies: bool) -> None:
    """Where nothing `replies`, the turn manager must also stop waiting for a reply by itself."""
    gate = TurnManager(on_speech=True)
    since_ms, state, seen = 0, gate.state, set[str]()
    for t_ms in range(0, MINUTES * 60_000, STEP_MS):
        changes = gate.step(t_ms * MS, (t_ms + STEP_MS) * MS, 1.0)
        if replies and any(change.event == TurnEvent.TURN_COMPLETED for change in changes):
            gate.reply_audible((t_ms + STEP_MS) * MS)
        if gate.state != state or changes:
            since_ms, state = t_ms, gate.state
        seen.add(state)
        assert state == "idle" or t_ms - since_ms <= CAP_MS[state] + STEP_MS, f"{state} since {since_ms} ms"
    assert {TurnState.LISTENING, TurnState.BARGE_IN} <= seen


def test_turn_manager_reply_that_never_comes_times_out_in_silence() -> None:
    gate = TurnManager(on_speech=True)
    kinds = []
    for t_ms in range(0, 3 * REPLY_MS, STEP_MS):
        kinds += [c.event for c in gate.step(t_ms * MS, (t_ms + STEP_MS) * MS, float(t_ms < 2000))]
    assert kinds[-1] == TurnEvent.TIMED_OUT
    assert gate.state == "idle"


@pytest.mark.parametrize("talk", [True, False])
def test_memory_and_ring_buffer_endless_sound_stay_within_bounds(talk: bool) -> None:
    most = 1 << 20
    memory, ring, lengths = LatentMemory(memory_policies(), max_bytes=most), RingBuffer(20), list[int]()

    def hear(pcm: Float32Array, t_ns: int) -> tuple[Latents, ...]:
        lengths.append(len(pcm))
        n = max(1, 2 * len(pcm) // SAMPLE_RATE_HZ)  # latents a second as YAMNet gives them
        return (
            Latents(t_ns, len(pcm) * 1000 * MS // SAMPLE_RATE_HZ, "sound", np.ones((n, 1024), np.float32), "sound:0"),
        )

    segmenter = SoundSegmenter(memory, hear)
    noise = np.random.default_rng(0).normal(0, 3000, SAMPLE_RATE_HZ // 5).astype(np.int16)
    held = 0
    for i in range(MINUTES * 60 * 5):
        chunk = AudioChunk(i * 200 * MS, i, noise, SAMPLE_RATE_HZ)
        ring.append(chunk)
        segmenter.feed(chunk, speech=talk)
        held = max(held, memory.n_bytes)
    assert 0 < held <= most
    assert max(lengths) <= (LONGEST_SEGMENT_MS + 200) * SAMPLE_RATE_HZ // 1000
    assert len(ring.between(0, 1 << 62)) <= 40 * SAMPLE_RATE_HZ

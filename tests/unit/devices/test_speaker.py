"""The speaker's queue when a voice interrupts: held, resumed, and how a tape shows the silence."""

from __future__ import annotations

import numpy as np
import pytest

from glasses.devices import speaker as speakers
from glasses.devices.speaker import HOLD_MS, AudioOutput
from glasses.evaluation.bench.barge_in import falls_silent_ms
from glasses.types import SAMPLE_RATE_HZ

_BLOCK = 160


class Still(AudioOutput):
    """A device that takes samples when told to."""

    @property
    def gone(self) -> bool:
        return False

    def take(self) -> np.ndarray:
        return self._next(_BLOCK, 0)

    def close(self) -> None: ...


def test_speaker_held_reply_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not held again at once."""
    now_ns = 10**12
    monkeypatch.setattr(speakers.time, "monotonic_ns", lambda: now_ns)
    device = Still(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
    device.play(1, "la", np.linspace(0.1, 0.9, 20 * _BLOCK).astype(np.float32))
    before = device.take()
    device.hold()
    faded = device.take()
    assert faded[-1] == 0
    assert device.is_speaking
    now_ns += HOLD_MS * 1_000_000
    after = device.take()
    assert after[0] > before[-1] > 0
    assert int(after[0]) - int(before[-1]) < 10  # not a sample is missing
    device.hold()
    assert device.take().all()
    now_ns += 1_000_000_000
    device.hold()
    assert not device.take()[-1]
    assert [clause.text for clause in device.silence()] == ["la"]
    assert not device.held


def test_falls_silent_ms_is_where_the_reply_ends_not_where_the_next_does() -> None:
    rng = np.random.default_rng(0)
    said = [(0.2 * rng.standard_normal(2 * SAMPLE_RATE_HZ)).astype(np.float32) for _ in range(2)]
    tape = np.zeros((12 * SAMPLE_RATE_HZ, 2), np.int16)
    for pcm, at_s in zip(said, (2, 7), strict=True):
        tape[at_s * SAMPLE_RATE_HZ : (at_s + 2) * SAMPLE_RATE_HZ, 0] = pcm * 32767
    tape[SAMPLE_RATE_HZ : 2 * SAMPLE_RATE_HZ + 1600, 1] = 3000  # falls silent 100 ms after the first onset,
    tape[3 * SAMPLE_RATE_HZ + 12_000 : 4 * SAMPLE_RATE_HZ, 1] = 3000  # and answers it before its sound is over
    tape[6 * SAMPLE_RATE_HZ : 10 * SAMPLE_RATE_HZ, 1] = 3000  # goes on through the second
    assert falls_silent_ms(tape, said) == [pytest.approx(100, abs=1), None]

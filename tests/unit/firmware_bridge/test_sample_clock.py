"""Times of samples whose packets come late."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.sample_clock import CALLBACK_WINDOW_S, RADIO_WINDOW_S, SampleClock

RATE_HZ, CHUNK = 16_000, 320
MS = 1_000_000
START_NS = 7_000_000 * MS


@pytest.mark.parametrize("window_s", [CALLBACK_WINDOW_S, RADIO_WINDOW_S])
@pytest.mark.parametrize("seed", range(3))
def test_sample_clock_late_packets_get_steady_times(seed: int, window_s: float) -> None:
    clock, rng = SampleClock(RATE_HZ, window_s=window_s), np.random.default_rng(seed)
    errors = []
    for i in range(500):
        true_ns = START_NS + i * 20 * MS
        late_ns = int(rng.exponential(15e6)) if i % 7 else 0
        errors.append(clock.time_of(CHUNK, true_ns + late_ns) - true_ns)
    assert max(map(abs, errors[50:])) < 5 * MS


@pytest.mark.parametrize("window_s", [CALLBACK_WINDOW_S, RADIO_WINDOW_S])
def test_sample_clock_unnoticed_loss_moves_times_within_two_windows(window_s: float) -> None:
    clock, n_window = SampleClock(RATE_HZ, window_s=window_s), round(window_s * 50)
    for i in range(100):
        clock.time_of(CHUNK, START_NS + i * 20 * MS)
    after = [START_NS + 300 * MS + i * 20 * MS for i in range(100, 101 + 2 * n_window)]
    times = [clock.time_of(CHUNK, seen_ns) for seen_ns in after]
    assert abs(times[-1] - after[-1]) < MS


def test_sample_clock_follows_the_quickest_packet_and_a_pause() -> None:
    clock = SampleClock(RATE_HZ)
    assert clock.time_of(CHUNK, 30 * MS) == 30 * MS  # late by 30 ms, as the next one shows
    assert clock.time_of(CHUNK, 20 * MS) == 20 * MS
    assert clock.time_of(CHUNK, 75 * MS) == 40 * MS  # late: the quickest packet knows better
    assert clock.time_of(CHUNK, 4980 * MS) == 4980 * MS  # paused

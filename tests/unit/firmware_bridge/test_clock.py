"""The offset and drift of another clock, over delays that differ between the two directions."""

from __future__ import annotations

import random

from firmware_bridge.clock import ClockSync


def rounds(clock: ClockSync, *, offset_us: int, drift_ppm: float, seconds: int, seed: int = 1) -> int:
    """One round a half second; delays of 1 ms and, each way on its own, up to 50 ms more. Returns the last time."""
    rng = random.Random(seed)
    now = 0
    for i in range(seconds * 2):
        now = i * 500_000
        there, back = 1000 + rng.randrange(50_000), 1000 + rng.randrange(50_000)

        def theirs(at: int) -> int:
            return at + offset_us + round(at * drift_ppm * 1e-6)

        clock.add(now, theirs(now + there), theirs(now + there + 200), now + there + 200 + back)
    return now


def test_clock_sync_finds_offset_and_drift_through_jitter() -> None:
    clock = ClockSync()
    now = rounds(clock, offset_us=-999_000_000, drift_ppm=40.0, seconds=120)
    true = -999_000_000 + now * 40e-6
    assert abs(clock.offset_us(now) - true) < 15_000
    assert abs(clock.to_ours_us(round(now + true)) - now) < 15_000


def test_clock_sync_takes_the_quickest_round() -> None:
    clock = ClockSync()
    clock.add(0, 1_000_500, 1_000_500, 1000)  # 0.5 ms each way
    clock.add(100_000, 1_190_000, 1_190_000, 191_000)  # 90 ms there, 1 ms back
    assert clock.offset_us(200_000) == 1_000_000
    assert clock.delay_us == 1000


def test_clock_sync_impossible_rounds_are_ignored() -> None:
    clock = ClockSync()
    clock.add(1000, 5000, 5000, 900)
    clock.add(1000, 5000, 4000, 2000)
    clock.add(1000, 5000, 9000, 2000)
    assert not clock.known

"""Offset and drift of another clock, from four timestamps a round trip.

Offset and delay are computed as in NTP (RFC 5905, section 8). Of the last rounds those with the least delay are
believed, because what delays a packet almost always delays one direction only.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

ROUNDS = 64  # remembered
BEST_SHARE = 4  # of which a quarter, those with the least delay, give offset and drift


@dataclass(frozen=True, slots=True)
class _Round:
    at_us: int  # our clock, middle of the round trip
    offset_us: float  # theirs minus ours
    delay_us: int


class ClockSync:
    """`t1`, `t4` are read on our clock, `t2`, `t3` on theirs, all in microseconds."""

    def __init__(self) -> None:
        self._rounds: deque[_Round] = deque(maxlen=ROUNDS)
        self._at_us, self._offset_us, self.drift_ppm, self.delay_us = 0, 0.0, 0.0, 0

    def add(self, t1_us: int, t2_us: int, t3_us: int, t4_us: int) -> None:
        """One round trip. Impossible orders (an answer before its question) are ignored."""
        delay = (t4_us - t1_us) - (t3_us - t2_us)
        if t4_us < t1_us or t3_us < t2_us or delay < 0:
            return
        self._rounds.append(_Round((t1_us + t4_us) // 2, ((t2_us - t1_us) + (t3_us - t4_us)) / 2, delay))
        best = sorted(self._rounds, key=lambda r: r.delay_us)[: max(1, len(self._rounds) // BEST_SHARE)]
        self._fit(best)

    def _fit(self, best: list[_Round]) -> None:
        """A line through the believed rounds where they span enough time to show a slope, else the best one alone."""
        self.delay_us = best[0].delay_us
        at = sum(r.at_us for r in best) // len(best)
        spread = sum((r.at_us - at) ** 2 for r in best)
        span = max(r.at_us for r in best) - min(r.at_us for r in best)
        if len(best) < 4 or span < 5_000_000:
            self._at_us, self._offset_us = best[0].at_us, best[0].offset_us
            return
        mean = sum(r.offset_us for r in best) / len(best)
        slope = sum((r.at_us - at) * (r.offset_us - mean) for r in best) / spread
        self._at_us, self._offset_us, self.drift_ppm = at, mean, slope * 1e6

    @property
    def last_delay_us(self) -> int | None:
        """What the newest round took, without the time it lay at the other side; None before the first."""
        return self._rounds[-1].delay_us if self._rounds else None

    @property
    def known(self) -> bool:
        """Whether a round has come back yet."""
        return bool(self._rounds)

    def offset_us(self, now_us: int) -> float:
        """Their clock minus ours at `now_us` of ours."""
        return self._offset_us + self.drift_ppm * 1e-6 * (now_us - self._at_us)

    def to_ours_us(self, theirs_us: int) -> int:
        """A time of their clock on ours; off by at most half of the asymmetry of the best round trip."""
        near = theirs_us - self._offset_us
        return round(theirs_us - self.offset_us(round(near)))

    def reset(self) -> None:
        """The other clock has started anew."""
        self.__init__()

"""Steady times for a stream of samples whose callbacks come late, early and in bursts. Pure; knows no device.

A callback can only be late, so the earliest of half a second tells when its samples were due; between those the samples
themselves are counted. Two crystals drift apart by far less than what is corrected each half second.
"""

from __future__ import annotations

from glasses.types import NS_PER_S

_WINDOW_NS = 500_000_000
_ANEW_NS = NS_PER_S  # further off than this it is another stream


class SampleClock:
    """`time_of` the next `n` samples of a stream of `rate_hz`, given when the callback says they were."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._base_ns: int | None = None  # time of sample 0
        self._n = 0
        self._least_ns, self._window_ns = _ANEW_NS, 0

    def time_of(self, n: int, observed_ns: int) -> int:
        """Time of the first of the next `n` samples, in ns of the clock that `observed_ns` is read from."""
        if self._base_ns is None or abs(observed_ns - self._due_ns(self._base_ns)) > _ANEW_NS:
            self._base_ns, self._n = observed_ns, 0
            self._least_ns, self._window_ns = _ANEW_NS, 0
        late_ns = observed_ns - self._due_ns(self._base_ns)
        if late_ns < 0:  # we took a late one for punctual until now
            self._base_ns += late_ns
            late_ns, self._least_ns = 0, 0
        self._least_ns = min(self._least_ns, late_ns)
        due_ns = self._due_ns(self._base_ns)
        self._n += n
        self._window_ns += n * NS_PER_S // self._rate_hz
        if self._window_ns >= _WINDOW_NS:  # even the most punctual one was late: time passed without samples
            self._base_ns += self._least_ns
            self._least_ns, self._window_ns = _ANEW_NS, 0
        return due_ns

    def _due_ns(self, base_ns: int) -> int:
        return base_ns + self._n * NS_PER_S // self._rate_hz

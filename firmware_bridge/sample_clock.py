"""Steady times for the samples of a stream whose packets or callbacks come late and in bursts.

Nothing comes early: of the packets in a window the most punctual one tells when its samples were due, and between
packets samples are counted. What all packets of a window have in common counts as time that passed without samples: the
drift of two crystals, or sound that was dropped unnoticed. A delay common to all packets stays unknown.
"""

from __future__ import annotations

CALLBACK_WINDOW_S = 0.5  # a sound card's callbacks: one in some twenty is punctual, and dropped sound should show soon
RADIO_WINDOW_S = 10.0  # packets over Bluetooth: repeats delay many in a row; crystals drift by 1 ms in it at most
_NEW_STREAM_NS = 1_000_000_000  # further off than this the stream was paused


class SampleClock:
    """Times in ns of the monotonic clock that callers read; call `time_of` for each packet of a stream in order."""

    def __init__(self, rate_hz: int, *, window_s: float = CALLBACK_WINDOW_S) -> None:
        self._rate_hz, self._window_ns = rate_hz, round(window_s * 1e9)
        self._start_ns: int | None = None  # time of sample 0
        self._n_samples = 0
        self._least_late_ns, self._in_window_ns = _NEW_STREAM_NS, 0

    def time_of(self, n_samples: int, seen_ns: int) -> int:
        """Time of the first of the next `n_samples`; `seen_ns` is that time by when they came, which may be late."""
        if self._start_ns is None or abs(seen_ns - self._due_ns(self._start_ns)) > _NEW_STREAM_NS:
            self._start_ns, self._n_samples = seen_ns, 0
            self._least_late_ns, self._in_window_ns = _NEW_STREAM_NS, 0
        late_ns = seen_ns - self._due_ns(self._start_ns)
        if late_ns < 0:  # the packet taken for punctual until now was late
            self._start_ns += late_ns
            late_ns = self._least_late_ns = 0
        self._least_late_ns = min(self._least_late_ns, late_ns)
        due_ns = self._due_ns(self._start_ns)
        self._n_samples += n_samples
        self._in_window_ns += n_samples * 1_000_000_000 // self._rate_hz
        if self._in_window_ns >= self._window_ns:
            self._start_ns += self._least_late_ns
            self._least_late_ns, self._in_window_ns = _NEW_STREAM_NS, 0
        return due_ns

    def skip(self, n_samples: int) -> None:
        """Passes over samples that are known to be lost."""
        self._n_samples += n_samples

    def _due_ns(self, start_ns: int) -> int:
        return start_ns + self._n_samples * 1_000_000_000 // self._rate_hz

"""The responder's time: this host's, or in a replay that of the recorded stream."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now_ns(self) -> int:
        """Nanoseconds on the clock that turns are decided on and the speaker plays by."""
        ...

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Returns once `condition`, which the caller holds, is notified or so many seconds have passed."""
        ...


class HostClock:
    """This host's monotonic clock."""

    def now_ns(self) -> int:
        """See `Clock`."""
        return time.monotonic_ns()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """See `Clock`."""
        condition.wait(seconds)

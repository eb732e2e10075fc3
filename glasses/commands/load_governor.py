"""Runs the governor: reads the board every two seconds and says which loads may run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glasses.system.governor import Governed, Limits, Reading, step
from glasses.system.supervised import SupervisedThread
from glasses.types import Load

INTERVAL_S = 2.0


class LoadGovernor:
    """`is_allowed` may be asked from any thread; nothing is shed before `running`."""

    def __init__(
        self,
        limits: Limits,
        read_board: Callable[[int], Reading],
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self.governed = Governed()
        self._limits, self._read_board, self._interval_s = limits, read_board, interval_s
        self._ending = threading.Event()

    def is_allowed(self, load: Load) -> bool:
        """Whether this load may run now."""
        return self.governed.allows(load)

    def why_no_apps(self) -> str:
        """Why no app is served now: they are the first to go without, whatever is short. "" where they are."""
        governed = self.governed
        return f"the glasses are busy with themselves ({governed.why}): ask again later" if governed.level else ""

    @contextmanager
    def running(
        self, on_change: Callable[[Governed], None], on_reading: Callable[[Reading, Governed], None]
    ) -> Iterator[None]:
        """Reads the board while this lasts; a failure is logged, and it goes on.

        `on_change` gets each change of what is shed, `on_reading` each reading.
        """

        def govern() -> None:
            while not self._ending.wait(self._interval_s):
                reading = self._read_board(time.monotonic_ns())
                before, self.governed = self.governed, step(self.governed, reading, self._limits)
                if self.governed.shed != before.shed:
                    on_change(self.governed)
                on_reading(reading, self.governed)

        thread = SupervisedThread(govern, "governor", policy="restart").start()
        try:
            yield
        finally:
            self._ending.set()
            thread.close()

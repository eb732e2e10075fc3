"""What the responder of a replay works with: the clock of the recorded stream, speakers that play by it, no voice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from glasses.assistant.clock import Clock
from glasses.devices.speaker import AudioOutput
from glasses.events import Clause
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, Float32Array


class StreamClock:
    """The Clock of a recorded stream: it goes on only where somebody waits, by one step of the replay."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step, self._now_ns = step, 0

    def now_ns(self) -> int:
        """The time of what was taken last."""
        return self._now_ns

    def advance(self, t_ns: int) -> None:
        """It is `t_ns` now."""
        self._now_ns = max(self._now_ns, t_ns)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """See `Clock`: the waiting thread itself does what it waits for."""
        del condition, seconds
        self._step()


class SilentVoice:
    """Each clause is no sample long: a replay as text takes the same way as one with a voice."""

    rate_hz = SAMPLE_RATE_HZ

    def speak(self, clauses: Iterable[str]) -> Iterator[Float32Array]:
        """No samples for each clause."""
        for _ in clauses:
            yield np.zeros(0, np.float32)

    def abort(self) -> None:
        """There is nothing to stop."""


class VirtualSpeaker(AudioOutput):
    """Plays by the stream's clock, and lets time pass only in `advance`. It has no latency."""

    def __init__(self, rate_hz: int, clock: Clock) -> None:
        super().__init__(rate_hz, rate_hz)
        self._clock = clock
        self._played_ns = 0  # up to here it has played
        self._sounds: list[Float32Array] = []

    def play(self, turn_id: int, text: str, pcm: Float32Array) -> Clause:
        """See `AudioOutput`; a clause without sound is over at once."""
        self._sounds.append(pcm)
        if self.is_speaking and pcm.size:
            return super().play(turn_id, text, pcm)
        now_ns = self._played_ns = self._clock.now_ns()
        clause = super().play(turn_id, text, pcm) if pcm.size else Clause(turn_id, text, 0)
        clause.first_ns = now_ns
        return clause

    def take_sounds(self) -> Float32Array:
        """All that was played since the last call, float32 (N,); one sample of silence where nothing was."""
        sounds, self._sounds = self._sounds, []
        return np.concatenate(sounds) if sounds else np.zeros(1, np.float32)

    @property
    def end_ns(self) -> int | None:
        """When what waits will have been played; None where nothing waits, or it has to wait."""
        if self.held or not self.is_speaking:
            return None
        n_left = sum(clause.n_samples - clause.n_samples_played for clause, _ in self._waiting)
        return self._played_ns + n_left * NS_PER_S // self.rate_hz

    def advance(self, t_ns: int) -> None:
        """Plays until `t_ns`."""
        n = -(-(t_ns - self._played_ns) * self.rate_hz // NS_PER_S)
        if self.is_speaking and n > 0:
            self._next(n, self._played_ns)
            self._played_ns += n * NS_PER_S // self.rate_hz

    @property
    def gone(self) -> bool:
        """It is never lost."""
        return False

    def close(self) -> None:
        """There is no device."""


class RecordedSpeaker(VirtualSpeaker):
    """Plays until the recording says that the reply was over, whatever this replay's voice would have taken."""

    def __init__(self, rate_hz: int, clock: Clock) -> None:
        super().__init__(rate_hz, clock)
        self.heard = ""  # of the reply that is cut next, by the recording
        self._speaking: Clause | None = None  # the last clause, until the reply is over

    def play(self, turn_id: int, text: str, pcm: Float32Array) -> Clause:
        """See `AudioOutput`."""
        self._sounds.append(pcm)
        self._speaking = Clause(turn_id, text, len(pcm), first_ns=self._clock.now_ns())
        return self._speaking

    def silence(self) -> list[Clause]:
        """One clause: what was heard of the reply when it was recorded."""
        speaking, heard = self._speaking, self.heard
        self._speaking, self.heard = None, ""
        return [Clause(speaking.turn_id, heard, 1, 1)] if speaking and heard else []

    @property
    def is_speaking(self) -> bool:
        """Whether a reply was played that is not over."""
        return self._speaking is not None

    @property
    def end_ns(self) -> int | None:
        """Not known before the recording says it."""
        return None

    def advance(self, t_ns: int) -> None:
        """Time alone ends nothing."""
        del t_ns

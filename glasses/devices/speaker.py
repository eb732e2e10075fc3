"""The speaker: plays clauses in order and falls silent at once when asked.

It also keeps what it played (`Reference`), which the echo suppressor removes from the microphone's sound, and how much
of each clause was *heard*: handed to the device, less what still waits in it. `AudioOutput` does this for any device;
`Speaker` is PortAudio's.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Self

import numpy as np
import soxr

from firmware_bridge.sample_clock import SampleClock
from glasses.devices import portaudio
from glasses.errors import Reason, SensorError
from glasses.events import Clause
from glasses.types import NS_PER_MS, NS_PER_S, Float32Array, Int16Array

BLOCK_MS = 10
LATENCY_S = 0.03  # asked of the device: less underruns on a busy small board, more delays the silence
HOLD_MS = 300  # without the reply the voice detector hears a voice within it
_HOLD_AGAIN_NS = NS_PER_S  # a vacuum cleaner must not keep it silent
_FADE_MS = 5  # a cut in mid-wave is a click, as loud as the voice
_MAX_LATENCY_S = 0.5
_REFERENCE_S = 4  # of what was played is kept for the echo suppressor


class AudioOutput(ABC):
    """What waits to be said, in order. `rate_hz` is the device's; `latency_s` what lies in it unheard.

    A device's own thread takes samples with `_next` and feeds `reference`.
    """

    def __init__(self, given_hz: int, rate_hz: int) -> None:
        """`given_hz` is what `play` will be given."""
        self.given_hz, self.rate_hz = given_hz, rate_hz
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Clause, Int16Array]] = deque()
        self._turn: list[Clause] = []  # clauses of the turn being said, oldest first
        self._paused = False
        self._held_ns = 0  # until then nothing is said
        self._last = 0  # the last sample handed over
        self.gain = 1.0  # of every sample; what does not fit is clipped
        self.underruns = 0  # times that the device found us late
        self.latency_s = 0.0
        self.reference = Reference(rate_hz)

    def play(self, turn_id: int, text: str, pcm: Float32Array) -> Clause:
        """Queues a clause, float32 (N,) at `given_hz`; the first of another turn forgets the turn before."""
        if self.rate_hz != self.given_hz:
            pcm = soxr.resample(pcm, self.given_hz, self.rate_hz)
        clause = Clause(turn_id, text, len(pcm))
        sound = np.clip(np.round(pcm * 32767), -32768, 32767).astype(np.int16)
        with self._lock:
            if self._turn and self._turn[0].turn_id != turn_id:
                self._turn = []
            self._turn.append(clause)
            self._waiting.append((clause, sound))
        return clause

    def pause(self) -> None:
        """Silent within one block and the device's latency; what was queued waits."""
        self._paused = True

    def unpause(self) -> None:
        """Goes on where it stopped."""
        self._paused = False

    def hold(self, ms: int = HOLD_MS) -> None:
        """Silent for so long, a reflex: somebody seems to speak. What was queued waits; not again within a second."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._held_ns + _HOLD_AGAIN_NS:
            self._held_ns = now_ns + ms * NS_PER_MS

    def silence(self) -> list[Clause]:
        """Silent at once; forgets what waits. Returns the turn's clauses with `handed` lessened to what was heard."""
        with self._lock:
            clauses, self._turn = self._turn, []
            self._waiting.clear()
            self._paused, self._held_ns = False, 0
        unheard = round(self.latency_s * self.rate_hz)
        for clause in reversed(clauses):
            taken = min(clause.n_samples_played, unheard)
            clause.n_samples_played, unheard = clause.n_samples_played - taken, unheard - taken
        return clauses

    @property
    def held(self) -> bool:
        """Whether what waits to be said has to wait."""
        return self._paused or time.monotonic_ns() < self._held_ns

    @property
    def is_speaking(self) -> bool:
        """Whether something is being said or waits to be, also while paused."""
        return bool(self._waiting)

    def _next(self, n: int, dac_ns: int) -> Int16Array:
        pcm, filled = np.zeros(n, np.int16), 0
        with self._lock:
            while not self.held and self._waiting and filled < n:
                clause, sound = self._waiting[0]
                if clause.first_ns is None:
                    clause.first_ns = dac_ns + filled * NS_PER_S // self.rate_hz
                taken = sound[clause.n_samples_played : clause.n_samples_played + n - filled]
                pcm[filled : filled + len(taken)] = taken
                clause.n_samples_played += len(taken)
                filled += len(taken)
                if clause.n_samples_played >= clause.n_samples:
                    self._waiting.popleft()
        if filled and self.gain != 1.0:
            pcm[:filled] = np.clip(pcm[:filled] * np.float32(self.gain), -32768, 32767)
        if filled:
            self._last = int(pcm[filled - 1])
        if filled < n and self._last:
            fade = min(n - filled, self.rate_hz * _FADE_MS // 1000)
            pcm[filled : filled + fade] = np.linspace(self._last, 0, fade)
            self._last = 0
        return pcm

    @property
    @abstractmethod
    def gone(self) -> bool:
        """Whether it stopped, or has not asked for sound for too long."""

    @abstractmethod
    def close(self) -> None:
        """Stops. Safe to call twice, and where the device is gone."""


class Speaker(AudioOutput):
    """Opened and running until `close`, silent where nothing is to be said: the first clause waits for nothing."""

    def __init__(self, rate_hz: int, name: str | None = None) -> None:
        """`rate_hz` is what `play` will be given. Raises SensorError: NOT_FOUND, NOT_INSTALLED, INTERNAL."""
        sd = portaudio.portaudio()
        self.device = portaudio.find("output", name)
        super().__init__(rate_hz, portaudio.usable_rate(self.device, "output", rate_hz))
        self.last_ns = self._opened_ns = time.monotonic_ns()
        try:
            self._stream: Any = sd.RawOutputStream(
                samplerate=self.rate_hz,
                blocksize=self.rate_hz * BLOCK_MS // 1000,
                device=self.device.index,
                channels=1,
                dtype="int16",
                latency=LATENCY_S,
                callback=self._give,
            )
            self._stream.start()
        except sd.PortAudioError as error:
            raise SensorError(Reason.INTERNAL, f"the speaker {self.device.name!r} does not open: {error}") from error

    def _give(self, out: Any, n: int, times: Any, status: Any) -> None:
        now_ns = time.monotonic_ns()
        self.last_ns = now_ns
        self.underruns += bool(status.output_underflow)
        self.latency_s = min(max(times.outputBufferDacTime - times.currentTime, 0.0), _MAX_LATENCY_S)
        pcm = self._next(n, now_ns + round(self.latency_s * 1e9))
        np.frombuffer(out, np.int16)[:] = pcm
        self.reference.append(pcm, now_ns)

    @property
    def gone(self) -> bool:
        """Whether it stopped, or has not asked for sound for too long."""
        return not self._stream.active or portaudio.overdue(self.last_ns, self._opened_ns)

    def close(self) -> None:
        """Stops. Safe to call twice, and where the device is gone."""
        self._stream.close(ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Reference:
    """What was handed to the speaker in the last seconds, on the host's clock: int16 at `rate_hz`.

    Times are those of handing over, which is before it sounds; the echo canceller finds the rest of the delay itself.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._clock = SampleClock(rate_hz)
        self._blocks: deque[tuple[int, Int16Array]] = deque(maxlen=_REFERENCE_S * 1000 // BLOCK_MS)

    def append(self, pcm: Int16Array, t_ns: int) -> None:
        """Adds what was handed over at `t_ns`; called by the device's thread."""
        self._blocks.append((self._clock.time_of(len(pcm), t_ns), pcm))

    def take(self) -> list[tuple[int, Int16Array]]:
        """What was handed over since the last call, oldest first."""
        blocks = []
        while self._blocks:
            blocks.append(self._blocks.popleft())
        return blocks

"""The microphone: 20 ms chunks of int16 sound at 16 kHz with the host's time.

PortAudio's thread only copies, resamples and queues; the listener takes chunks from the queue in a thread of its own.
"""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np

from firmware_bridge.sample_clock import SampleClock
from glasses.audio.chunker import CHUNK_MS, Chunker
from glasses.devices import portaudio
from glasses.devices.event_queue import EventQueue
from glasses.errors import Reason, SensorError
from glasses.types import SAMPLE_RATE_HZ

_MAX_LATENCY_S = 0.5  # a driver that claims more is wrong; its claim would shift every time stamp


class Microphone:
    """Opened and recording until `close`. `overruns` counts the times that the system dropped sound before us."""

    def __init__(self, queue: EventQueue, name: str | None = None) -> None:
        """Raises SensorError: NOT_FOUND, NOT_INSTALLED, INTERNAL (the device is there and does not open)."""
        sd = portaudio.portaudio()
        self.device = portaudio.find("input", name)
        rate_hz = portaudio.usable_rate(self.device, "input", SAMPLE_RATE_HZ)
        self._chunks = Chunker(queue.put, rate_hz)
        self._clock = SampleClock(rate_hz)
        self.overruns, self.last_ns = 0, time.monotonic_ns()
        self._opened_ns = self.last_ns
        try:
            self._stream: Any = sd.RawInputStream(
                samplerate=rate_hz,
                blocksize=rate_hz * CHUNK_MS // 1000,
                device=self.device.index,
                channels=1,
                dtype="int16",
                latency="low",
                callback=self._take,
            )
            self._stream.start()
        except sd.PortAudioError as error:
            raise SensorError(Reason.INTERNAL, f"the microphone {self.device.name!r} does not open: {error}") from error

    def _take(self, data: Any, _n: int, times: Any, status: Any) -> None:
        now_ns = time.monotonic_ns()
        self.last_ns = now_ns
        self.overruns += bool(status.input_overflow)
        pcm = np.frombuffer(data, np.int16)
        # The driver's two times are of one clock of its own; only their difference means something here.
        age_s = min(max(times.currentTime - times.inputBufferAdcTime, CHUNK_MS / 1000), _MAX_LATENCY_S)
        self._chunks.put(pcm, self._clock.time_of(len(pcm), now_ns - round(age_s * 1e9)))

    @property
    def gone(self) -> bool:
        """Whether it stopped, or has given nothing, not even silence, for too long."""
        return not self._stream.active or portaudio.overdue(self.last_ns, self._opened_ns)

    def close(self) -> None:
        """Stops recording. Safe to call twice, and where the device is gone."""
        self._stream.close(ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

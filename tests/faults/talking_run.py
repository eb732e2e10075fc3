"""Runs `glasses run` with a fake microphone that hears N questions: python -m tests.faults.talking_run N OPTION...

PAUSE_S of quiet follows each question; then the program runs until it is stopped. It writes the number of finished
questions to the file that $TALKING_RUN_SAID names.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from glasses.__main__ import main
from glasses.commands import run
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.evaluation.bench.latency import spoken_questions
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, AudioChunk, Float32Array, frozen

PAUSE_S = 2.0
CHUNK, CHUNK_NS = SAMPLE_RATE_HZ // 50, 20 * NS_PER_MS


class Microphone:
    """A microphone that hears the questions in real time, and quiet noise between them."""

    device, overruns, gone = SoundDevice(0, "questions", SAMPLE_RATE_HZ), 0, False

    def __init__(self, queue: EventQueue, questions: list[Float32Array], said: Path) -> None:
        self._queue, self._questions, self._said = queue, questions, said
        threading.Thread(target=self._flow, daemon=True).start()

    def close(self) -> None: ...

    def _chunks(self) -> Iterator[Float32Array]:
        pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
        for n, question in enumerate(self._questions):
            self._said.write_text(str(n))
            sound = np.concatenate([pause, question])
            yield from (np.resize(sound[i : i + CHUNK], CHUNK) for i in range(0, len(sound) - CHUNK, CHUNK))
        self._said.write_text(str(len(self._questions)))
        while True:
            yield np.zeros(CHUNK, np.float32)

    def _flow(self) -> None:
        room, began_ns = np.random.default_rng(0), time.monotonic_ns()
        for n, chunk in enumerate(self._chunks()):
            time.sleep(max(0, began_ns + (n + 1) * CHUNK_NS - time.monotonic_ns()) / 1e9)
            heard = np.clip(chunk + 3e-4 * room.standard_normal(CHUNK), -1, 1)
            pcm = frozen((heard * 32767).astype(np.int16))
            self._queue.put(AudioChunk(began_ns + n * CHUNK_NS, n, pcm, SAMPLE_RATE_HZ))


class Devices:
    """Devices with that microphone and nothing else."""

    muted = sees = False

    def __init__(self, n_questions: int) -> None:
        self._questions = spoken_questions(n_questions)

    def microphone(self, queue: EventQueue) -> Any:
        return Microphone(queue, self._questions, Path(os.environ["TALKING_RUN_SAID"]))

    def rescan(self) -> None: ...


if __name__ == "__main__":
    devices: Any = Devices(int(sys.argv[1]))
    run._devices = lambda config, stack, **told: devices
    sys.exit(main(["run", "--activation", "speech", "--no-voice", *sys.argv[2:]]))

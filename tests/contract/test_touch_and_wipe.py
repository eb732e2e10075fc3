"""A running assistant: what a wipe leaves of the conversation, and what a touch does where there is no microphone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.assistant.assistant import NO_MICROPHONE, Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.observers import FunctionObserver
from glasses.assistant.setup import open_listener
from glasses.assistant.turn_encoder import no_recall
from glasses.audio.chunker import Chunker
from glasses.audio.sound_files import read_audio
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.events import Reply, TurnCompleted
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.types import SAMPLE_RATE_HZ, Button, DeviceChange, Wiped

pytestmark = pytest.mark.models
SPEECH = Path(__file__).parents[2] / "models/eval/speech"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle(n_threads=1)
    yield opened
    opened.close()


class Microphone:
    """Has heard `pcm` when it is opened, and nothing since."""

    device = SoundDevice(0, "fake", SAMPLE_RATE_HZ)
    overruns = 0

    def __init__(self, queue: EventQueue, pcm: np.ndarray) -> None:
        self.gone = False
        Chunker(queue.put, SAMPLE_RATE_HZ).put((pcm * 32767).astype(np.int16), time.monotonic_ns())

    def close(self) -> None: ...


class Devices:
    """A microphone that hears `pcm`, no speaker and no camera; `away`: it is unplugged and does not come back."""

    muted = sees = False

    def __init__(self, pcm: np.ndarray) -> None:
        self.pcm, self.away = pcm, False
        self.opened: Microphone | None = None

    def microphone(self, queue: EventQueue) -> Microphone | None:
        if self.away:
            return None
        self.opened = Microphone(queue, self.pcm)
        return self.opened

    def rescan(self) -> None: ...


def run(assistant: Assistant, steps: Callable[[], None]) -> None:
    """Runs the assistant here, in the thread that opened the backbone, while another takes the test's `steps`."""
    failures = list[BaseException]()

    def take_steps() -> None:
        try:
            steps()
        except BaseException as failure:
            failures.append(failure)
        finally:
            assistant.stop()

    taking = threading.Thread(target=take_steps)
    taking.start()
    assistant.run()
    taking.join()
    if failures:
        raise failures[0]


def waited(condition: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.01)
    return condition()


def test_wipe_empties_ring_buffer_and_kv_cache(loaded: LoadedBundle) -> None:
    items = [json.loads(line) for line in (SPEECH / "index.jsonl").read_text().splitlines()]
    question = read_audio(SPEECH / next(item for item in items if item["set"] == "question")["file"])
    pcm = np.concatenate([np.zeros(8000, np.float32), question, np.zeros(16000, np.float32)])
    listener = open_listener(loaded, "speech", no_recall)
    devices: Any = Devices(pcm)
    told = list[Any]()
    watching = [FunctionObserver(told.append, Reply, Wiped)]
    config = replace(NO_MEMORY, activation="speech")
    assistant = Assistant(config, loaded, None, devices, observers=watching, listener=listener)

    def steps() -> None:
        assert waited(lambda: any(isinstance(one, Reply) for one in told))
        assert loaded.backbone.n_past > loaded.n_prefix
        assert len(listener._sound.ring.between(0, 2**62)) > SAMPLE_RATE_HZ
        assistant.wipe()
        assert loaded.backbone.n_past == loaded.n_prefix
        assert len(listener._sound.ring.between(0, 2**62)) == 0
        assert waited(lambda: any(isinstance(one, Wiped) for one in told))

    run(assistant, steps)


def test_touch_without_a_microphone_says_so_and_is_no_turn(loaded: LoadedBundle) -> None:
    devices: Any = Devices(np.zeros(SAMPLE_RATE_HZ, np.float32))
    told = list[Any]()
    watching = [FunctionObserver(told.append, DeviceChange, TurnCompleted)]
    assistant = Assistant(NO_MEMORY, loaded, None, devices, observers=watching)

    def steps() -> None:
        assert waited(lambda: assistant.devices.microphone is not None)
        devices.away, devices.opened.gone = True, True
        assert waited(lambda: assistant.devices.microphone is None)
        assistant.events.put(Button(time.monotonic_ns(), "tap"))
        assert waited(lambda: any(one.why == NO_MICROPHONE for one in told if isinstance(one, DeviceChange)))
        devices.away = False
        assert waited(lambda: assistant.devices.microphone is not None)
        time.sleep(0.5)

    run(assistant, steps)
    assert not any(isinstance(one, TurnCompleted) for one in told)

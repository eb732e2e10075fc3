"""An assistant that says it is ready hears: what is said before the responder is prepared is answered afterwards."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.observers import FunctionObserver
from glasses.audio.chunker import Chunker
from glasses.audio.sound_files import read_audio
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.events import Reply, TurnCompleted
from glasses.runtime.bundle import open_bundle
from glasses.types import SAMPLE_RATE_HZ

pytestmark = pytest.mark.models
CONFIG = replace(NO_MEMORY, activation="speech")
SPEECH = Path(__file__).parents[2] / "models/eval/speech"
PATIENCE_S = 60.0


class Microphone:
    """A microphone that has heard a question and then silence when it is opened."""

    device = SoundDevice(0, "fake", SAMPLE_RATE_HZ)
    overruns = 0
    gone = False

    def __init__(self, queue: EventQueue) -> None:
        items = [json.loads(line) for line in (SPEECH / "index.jsonl").read_text().splitlines()]
        question = read_audio(SPEECH / next(item for item in items if item["set"] == "question")["file"])
        pcm = np.concatenate([np.zeros(8000, np.float32), question, np.zeros(16000, np.float32)])
        Chunker(queue.put, SAMPLE_RATE_HZ).put((pcm * 32767).astype(np.int16), time.monotonic_ns())

    def close(self) -> None: ...


class Room:
    """Devices with a microphone, no speaker and no camera."""

    muted = sees = False

    def microphone(self, queue: EventQueue) -> Microphone:
        return Microphone(queue)


def test_assistant_question_before_responder_is_ready_is_answered() -> None:
    loaded, devices = open_bundle(n_threads=1), Room()
    decided, answered, order = threading.Event(), threading.Event(), list[str]()

    def watch(what: Any) -> None:
        if isinstance(what, TurnCompleted):
            order.append("decided")
            decided.set()
        if isinstance(what, Reply):
            order.append(f"{what.outcome}: {bool(what.text)}")
            answered.set()

    def prepare() -> None:
        assert decided.wait(PATIENCE_S), "nothing was heard while it was made ready"
        order.append("ready")

    watching = [FunctionObserver(watch, TurnCompleted, Reply)]
    assistant = Assistant(CONFIG, loaded, None, devices, observers=watching)  # pyright: ignore[reportArgumentType]
    waiting = threading.Thread(target=lambda: (answered.wait(PATIENCE_S), assistant.stop()))
    waiting.start()
    assistant.run(prepare)
    waiting.join()
    loaded.close()
    assert order == ["decided", "ready", "completed: True"]


def test_assistant_prepare_that_raises_ends_run() -> None:
    loaded = open_bundle(n_threads=1)
    assistant = Assistant(CONFIG, loaded, None, Room())  # pyright: ignore[reportArgumentType]

    def prepare() -> None:
        raise RuntimeError("a voice that cannot be read")

    with pytest.raises(RuntimeError, match="cannot be read"):
        assistant.run(prepare)
    assert assistant.events.closed
    loaded.close()

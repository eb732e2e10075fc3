"""An exception that nobody foresaw, in each thread of the pipeline: `run` ends with it, or the thread begins again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.observers import FunctionObserver
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.errors import Reason, SensorError
from glasses.events import TurnSignal
from glasses.runtime.bundle import LoadedBundle, open_bundle
from glasses.system.supervised import failed_threads
from glasses.types import SAMPLE_RATE_HZ, Button

pytestmark = pytest.mark.models
CONFIG = replace(NO_MEMORY, activation="button")
PATIENCE_S = 30.0


class ForeignError(Exception):
    """Of a library, and no GlassesError."""


class Microphone:
    """Hears nothing; notes whether it was closed."""

    device, overruns, gone = SoundDevice(0, "none", SAMPLE_RATE_HZ), 0, False
    closed = False

    def close(self) -> None:
        self.closed = True


class Devices:
    """One microphone."""

    muted = sees = False

    def __init__(self) -> None:
        self.opened = Microphone()

    def microphone(self, queue: EventQueue) -> Microphone:
        return self.opened


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedBundle]:
    opened = open_bundle(n_threads=1)
    yield opened
    opened.close()


def failing(stage: str, error: BaseException) -> Callable[[str], None]:
    def progress(at: str) -> None:
        if at == stage:
            raise error

    return progress


@pytest.mark.parametrize("error", [ForeignError("a driver's own"), MemoryError(), SensorError(Reason.TIMEOUT, "stuck")])
@pytest.mark.parametrize("stage", ["listener", "responder"])
def test_assistant_exception_in_listener_or_responder_ends_run_with_it(
    loaded: LoadedBundle, stage: str, error: Exception
) -> None:
    devices = Devices()
    assistant = Assistant(CONFIG, loaded, None, cast(Any, devices), progress=failing(stage, error))
    with pytest.raises(type(error)) as raised:
        assistant.run()
    assert raised.value is error
    assert assistant.events.closed
    assert devices.opened.closed
    assert failed_threads() == [], "the failure was raised: nobody has to report it"


def test_assistant_exception_in_an_observer_is_reported_and_the_next_event_is_taken(loaded: LoadedBundle) -> None:
    taken, reported = list[TurnSignal](), list[str]()

    def watch(signal: TurnSignal) -> None:
        taken.append(signal)
        if len(taken) == 1:
            raise ForeignError
        reported.extend(thread.name for thread in failed_threads())
        assistant.stop()

    observers = [FunctionObserver(watch, TurnSignal, name="page")]
    assistant = Assistant(CONFIG, loaded, None, cast(Any, Devices()), observers=observers)

    def touch() -> None:
        for n in (1, 2):  # the second ends the turn that the first began, or begins another
            assistant.events.put(Button(time.monotonic_ns(), "tap"))
            end_s = time.monotonic() + PATIENCE_S
            while len(taken) < n and time.monotonic() < end_s:
                time.sleep(0.02)

    assistant.run(touch)
    assistant.observers.close()
    assert len(taken) >= 2
    assert reported == ["observer page"]

"""`glasses run --record` with fake devices, and its recording through `glasses replay`: the same decisions."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glasses.__main__ import main
from glasses.assistant.memory_link import MemoryLink
from glasses.assistant.observers import Observers
from glasses.commands import run
from glasses.devices.event_queue import EventQueue
from glasses.devices.portaudio import SoundDevice
from glasses.devices.speaker import AudioOutput
from glasses.evaluation.bench.barge_in import TEXT
from glasses.evaluation.bench.latency import spoken_questions
from glasses.events import Draft, Outcome, Reply, ReplyState, TurnCompleted, TurnEvent, TurnSignal
from glasses.media.pictures import read_image
from glasses.recording.demo_session import SHIPPED, load_session
from glasses.recording.mcap_file import SegmentWriter
from glasses.replay.session import entries_of, recorded
from glasses.types import NS_PER_MS, SAMPLE_RATE_HZ, AudioChunk, Button, Float32Array, Frame, OwnVoice, frozen

pytestmark = [pytest.mark.models, pytest.mark.slow]
CHUNK, CHUNK_NS = SAMPLE_RATE_HZ // 50, 20 * NS_PER_MS
BARKS_MS, QUESTION_MS = (21_500, 26_200), (26_700, 28_300)  # of the shipped minute: a dog, then "What is this sound?"
PATIENCE_S = 120.0


class FakeDevices(AudioOutput):
    """Microphone, speaker and camera in one: it hears what is said into it and half of what it plays."""

    device = SoundDevice(0, "fake", SAMPLE_RATE_HZ)
    overruns = 0

    def __init__(self) -> None:
        super().__init__(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
        self.muted, self.sees, self._queue = False, True, EventQueue()
        self._said: deque[Float32Array] = deque()
        self._room = np.random.default_rng(0)
        self._open = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._flow, daemon=True)
        self._thread.start()

    @property
    def gone(self) -> bool:
        """Always False: this device is never lost."""
        return False

    def microphone(self, queue: EventQueue) -> Any:
        self._queue = queue
        self._open.set()
        return FakeMicrophone(self)

    def speaker(self, rate_hz: int) -> AudioOutput:
        self.given_hz = rate_hz
        return self

    def camera(self, queue: EventQueue) -> Any:
        return FakeCamera(queue)

    def rescan(self) -> None: ...

    def say(self, pcm: Float32Array) -> None:
        """Plays the sound to the microphone; returns when all of it was heard."""
        self._said += [np.resize(pcm[i : i + CHUNK], CHUNK) for i in range(0, len(pcm) - CHUNK, CHUNK)]
        while self._said:
            time.sleep(0.01)

    def touch(self, press: Any) -> None:
        self._queue.put(Button(time.monotonic_ns(), press))

    def _flow(self) -> None:
        at_ns, n, echo = time.monotonic_ns(), 0, np.zeros(CHUNK, np.float32)
        while not self._over:
            time.sleep(max(0, at_ns + (n + 1) * CHUNK_NS - time.monotonic_ns()) / 1e9)
            said = self._said.popleft() if self._said else np.zeros(CHUNK, np.float32)
            heard = said + 0.5 * echo + 3e-4 * self._room.standard_normal(CHUNK)
            pcm = frozen((np.clip(heard, -1, 1) * 32767).astype(np.int16))
            if self._open.is_set():
                self._queue.put(AudioChunk(at_ns + n * CHUNK_NS, n, pcm, SAMPLE_RATE_HZ))
            now_ns = at_ns + (n + 1) * CHUNK_NS
            played = self._next(CHUNK, now_ns)
            self.reference.append(played, now_ns)
            echo, n = played.astype(np.float32) / np.float32(32768), n + 1

    def shut(self) -> None:
        self._open.clear()

    def close(self) -> None: ...

    def end(self) -> None:
        self._over = True
        self._thread.join()


class FakeMicrophone:
    """The microphone of a FakeDevices."""

    device, overruns, gone = FakeDevices.device, 0, False

    def __init__(self, devices: FakeDevices) -> None:
        self._devices = devices

    def close(self) -> None:
        self._devices.shut()


class FakeCamera:
    """A camera that takes a picture when it is asked to."""

    gone, is_seeing = False, True

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    def look(self) -> None:
        picture = frozen(read_image(sorted((SHIPPED / "frames").iterdir())[46]))
        self._queue.put(Frame(time.monotonic_ns(), 0, picture))

    def close(self) -> None: ...


def cut(span_ms: tuple[int, int]) -> Float32Array:
    first, after = (ms * SAMPLE_RATE_HZ // 1000 for ms in span_ms)
    return load_session().pcm[first:after].astype(np.float32) / np.float32(32768)


class EventLog(list[Any]):
    """All events that were published to the observers."""

    def wait_for(self, is_it: Callable[[Any], bool]) -> Any:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for what in list(self):
                if is_it(what):
                    return what
            time.sleep(0.01)
        raise AssertionError(f"it did not come in {PATIENCE_S} s; there were {[type(what).__name__ for what in self]}")


def converse(devices: FakeDevices, seen: EventLog) -> None:
    """Looks and asks; asks again over the reply; plays a sound and asks what it was; mutes while it listens."""
    (question,) = spoken_questions(1)  # both times in one voice: another one's would be no follow-up
    seen.wait_for(lambda what: isinstance(what, AudioChunk))
    devices.touch("long_press")
    devices.say(question)
    seen.wait_for(lambda what: isinstance(what, ReplyState) and what.state == "audible")
    time.sleep(2)  # well into the reply: it was heard
    devices.say(question)
    seen.wait_for(lambda what: isinstance(what, TurnSignal) and what.event is TurnEvent.INTERRUPTED)
    seen.wait_for(lambda what: isinstance(what, Reply) and what.outcome is Outcome.COMPLETED)
    time.sleep(7)  # speech after a reply would be for it
    devices.say(cut(BARKS_MS))
    time.sleep(6)  # longer than what a touch takes along of the seconds before it
    devices.touch("tap")
    devices.say(cut(QUESTION_MS))
    seen.wait_for(lambda what: isinstance(what, TurnCompleted) and what.memory_intent == "sound")
    seen.wait_for(lambda what: isinstance(what, Reply) and what.draft.memory_intent == "sound")
    devices.touch("tap")
    time.sleep(0.5)
    devices.muted = True
    seen.wait_for(lambda what: isinstance(what, TurnSignal) and what.event is TurnEvent.TIMED_OUT)


def run_and_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> EventLog:
    """Runs `glasses run` with the fake devices and records to `folder`; the first reply is a long one."""
    devices, seen = FakeDevices(), EventLog()
    publish, canned_reply = Observers.publish, MemoryLink.canned_reply

    def watched(self: Observers, event: Any) -> None:
        seen.append(event)
        publish(self, event)

    def first_long(self: MemoryLink, draft: Draft) -> str:
        return TEXT if draft.turn.id == 1 else canned_reply(self, draft)

    monkeypatch.setattr(run, "_devices", lambda config, stack, **told: devices)
    monkeypatch.setattr(Observers, "publish", watched)
    monkeypatch.setattr(MemoryLink, "canned_reply", first_long)
    failed: list[BaseException] = []

    def talk() -> None:
        try:
            converse(devices, seen)
        except BaseException as error:
            failed.append(error)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=talk)
    thread.start()
    assert main(["run", "--record", str(folder), "--json"]) == 0
    thread.join()
    devices.end()
    if failed:
        raise failed[0]
    return seen


def copy_sensor_entries(folder: Path, path: Path) -> None:
    """Copies a recording without reply states and own-voice entries."""
    with path.open("wb") as out:
        entries = entries_of(folder)
        about = next(entries)
        assert isinstance(about, dict)
        writer = SegmentWriter(out, about)
        for entry in entries:
            if not isinstance(entry, dict | ReplyState | OwnVoice):
                writer.write(entry)
        writer.finish()


def test_replay_recording_of_run_repeats_every_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "recordings"
    seen = run_and_record(folder, monkeypatch)
    told = recorded(folder)
    assert [one.decision.cause for one in told.turns] == ["long_press", "barge_in", "tap"]
    assert [one.decision.memory_intent for one in told.turns][-1] == "sound"
    assert {TurnEvent.TURN_STARTED, TurnEvent.INTERRUPTED, TurnEvent.TIMED_OUT} <= {one.event for one in told.gates}
    assert len(told.gates) == sum(isinstance(what, TurnSignal) for what in seen)
    assert any(isinstance(entry, OwnVoice) and entry.on for entry in entries_of(folder)), "it heard itself"
    capsys.readouterr()
    # Live the words stand on rows of several drafts, and the first reply was not the model's: they are not compared.
    alike = ["--fast", "--no-voice", "--json", "--tolerance", "wait_ratio=inf", "--tolerance", "answer_words=999"]
    code = main(["replay", str(folder), *alike, "--compare", str(folder)])
    found = json.loads(capsys.readouterr().out)["differences"]
    assert [one for one in found if not one["within"]] == []
    assert code == 0
    compared = [one["what"] for one in found]
    assert compared.count("gate") == len(told.gates)
    assert {"activated", "end", "decided", "parts", "memory intent", "latents", "answer"} <= set(compared)
    deaf = tmp_path / "sensors.mcap"
    copy_sensor_entries(folder, deaf)
    assert main(["replay", str(deaf), *alike, "--compare", str(folder)]) == 1, "the listener depends on what it is told"

"""Barge-in and echo: how soon the speaker falls silent when talked over, and what the assistant's own voice triggers.

In a virtual room where the speaker is heard at -6 dB the assistant says a long prepared text, so that there is always a
reply to talk over; everything else is as in `glasses run`. Times are acoustic, from one recording of room and speaker:
onset of the wearer's voice in the room to the first sample from which the speaker stays silent. Needs PulseAudio.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glasses.assistant.assistant import Assistant
from glasses.assistant.config import NO_MEMORY
from glasses.assistant.listener import Listener
from glasses.assistant.observers import FunctionObserver
from glasses.assistant.turn_encoder import TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.vad import Vad
from glasses.devices.event_queue import EventQueue
from glasses.devices.local import LocalDevices
from glasses.evaluation.bench.latency import spoken_questions
from glasses.evaluation.bench.virtual_room import Room
from glasses.evaluation.progress import Tick
from glasses.events import Reply, ReplyState, TurnEvent, TurnSignal
from glasses.model_store import store
from glasses.runtime.bundle import open_bundle, open_voice
from glasses.runtime.heads import open_end_of_turn
from glasses.types import SAMPLE_RATE_HZ, Button, Float32Array

ECHO_DB = -6.0
TEXT = (
    "The capital of France is Paris, a city on the river Seine. A week has seven days, the first of them is Monday. "
    "On a clear day the sky is blue, because the air scatters short waves more than long ones. Dogs bark when they "
    "want to warn, to greet, or to play. Water boils at one hundred degrees, unless you are up on a mountain. "
    "A year has twelve months, and some of them are shorter than others. Apples fall from trees when they are ripe."
)
LOUD = 200  # of 32768 on the speaker: it is not silent
_STAYS = SAMPLE_RATE_HZ * 3 // 10  # samples: a shorter silence is a pause between two words
_WAIT_S = 90.0  # the text takes half a minute, longer where the sound stutters


def barge_ins(bundle: str, n_turns: int, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Talks `n_turns` times over the reply. Raises SensorError, ModelError, InputError(NOT_FOUND)."""
    rng, said = random.Random(0), spoken_questions(n_turns + 1)

    def talk(spoken: _Conversation) -> None:
        for i, pcm in enumerate(said):
            tick("talked over", i, len(said))
            began_ns = time.monotonic_ns()
            spoken.room.play(pcm).wait()
            spoken.wait_for(lambda what: isinstance(what, ReplyState) and what.state == "audible", since_ns=began_ns)
            time.sleep(rng.uniform(1.0, 2.5))

    tape, _ = _run(bundle, talk, on_speech=True)
    waits = falls_silent_ms(tape, said)
    silenced = [wait for wait in waits if wait is not None]
    p50, p95 = np.percentile(silenced, [50, 95]) if silenced else (float("nan"),) * 2
    return {
        "interruptions": len(silenced),
        "not_silenced": sum(wait is None for wait in waits),
        "onset_to_silence_ms_p50": round(float(p50), 1),
        "onset_to_silence_ms_p95": round(float(p95), 1),
    }


def own_voice(bundle: str, minutes: float, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Lets it talk to itself for `minutes` of sound; nobody else says a word. Raises SensorError, ModelError."""

    def talk(spoken: _Conversation) -> None:
        spoken_s = 0.0
        while spoken_s < 60 * minutes:
            began_ns = time.monotonic_ns()
            spoken.events.put(Button(began_ns, "tap"))
            spoken.wait_for(lambda what: isinstance(what, Reply) and bool(what.outcome), since_ns=began_ns)
            spoken_s = _spoken_s([what for _, what in spoken.seen])
            time.sleep(1.5)  # for what its last word may wake
            tick("seconds", round(spoken_s), round(60 * minutes))

    tape, seen = _run(bundle, talk, on_speech=True)
    touches = {what.t_ns for what in seen if isinstance(what, Button)}  # what they opened or ended was no voice
    signals = [what for what in seen if isinstance(what, TurnSignal) and what.t_ns not in touches]
    blocks = tape[: len(tape) // 1600 * 1600, 1].reshape(-1, 1600)
    return {
        "minutes_of_its_own_voice": round(float((np.abs(blocks.astype(np.int32)).max(axis=1) > LOUD).sum()) / 600, 1),
        "wakes": sum(what.event is TurnEvent.TURN_STARTED for what in signals),
        "interruptions": sum(what.event is TurnEvent.INTERRUPTED for what in signals),
        "pauses": sum(what.event is TurnEvent.BARGE_IN_PENDING for what in signals),
    }


def _spoken_s(seen: list[Any]) -> float:
    """Seconds that finished replies sounded."""
    audible_ns = {what.turn_id: what.t_ns for what in seen if isinstance(what, ReplyState) and what.state == "audible"}
    over = [what for what in seen if isinstance(what, ReplyState) and what.state == "finished"]
    return sum(what.t_ns - audible_ns.get(what.turn_id, what.t_ns) for what in over) / 1e9


class _Conversation:
    """A virtual room with a running assistant in it, and the events seen there."""

    def __init__(self, room: Room) -> None:
        self.room, self.events = room, EventQueue()
        self.seen: list[tuple[int, Any]] = []
        self._more = threading.Condition()

    def observe(self, event: Any) -> None:
        with self._more:
            self.seen.append((time.monotonic_ns(), event))
            self._more.notify_all()

    def wait_for(self, is_it: Callable[[Any], bool], *, since_ns: int) -> bool:
        """Waits until an event for which `is_it` holds was seen; False after _WAIT_S."""
        with self._more:
            return self._more.wait_for(
                lambda: any(t_ns >= since_ns and is_it(what) for t_ns, what in self.seen), _WAIT_S
            )


def _run(bundle: str, talk: Callable[[_Conversation], None], *, on_speech: bool) -> tuple[np.ndarray, list[Any]]:
    """The recording, int16 (N, 2) of room and speaker, and the events seen."""
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder) / "room", echo_db=ECHO_DB) as room:
        os.environ.update(room.env)  # PortAudio reads it when it is first asked
        voice, loaded = open_voice(bundle), open_bundle(bundle)
        detector = Vad(store.path_of(store.load_bundle(bundle).vad))
        listener = Listener(
            detector, TurnManager(on_speech=on_speech), TurnEncoder(loaded, end_of_turn=open_end_of_turn(loaded))
        )
        spoken = _Conversation(room)
        observer = FunctionObserver(spoken.observe, TurnSignal, ReplyState, Reply, Button)
        assistant = Assistant(
            NO_MEMORY,
            loaded,
            voice,
            LocalDevices(),
            events=spoken.events,
            listener=listener,
            observers=[observer],
            canned_reply=lambda draft: TEXT,
        )
        path = Path(folder) / "tape.raw"
        tape = room.tape(path)

        def converse() -> None:
            try:
                time.sleep(1.0)
                talk(spoken)
            finally:
                assistant.stop()

        thread = threading.Thread(target=converse, daemon=True)
        thread.start()
        assistant.run()
        thread.join()
        tape.terminate()
        tape.wait()
        voice.close()
        loaded.close()
        sound = np.fromfile(path, np.int16)
    return sound[: len(sound) // 2 * 2].reshape(-1, 2), [what for _, what in spoken.seen]


def falls_silent_ms(tape: np.ndarray, said: list[Float32Array]) -> list[float | None]:
    """Of each of `said`, float32 (N,) in order, that was said over a reply: ms from its onset to silence, None where
    the speaker went on to its end. `tape` is int16 (N, 2): room, speaker. What is answered later is not that reply.
    """
    room = tape[:, 0].astype(np.float32) / np.float32(32768)
    speaks = np.abs(tape[:, 1].astype(np.int32)) > LOUD
    out: list[float | None] = []
    after = 0
    for pcm in said:
        first = after + _found(room[after:], pcm)
        onset = first + int(np.flatnonzero(np.abs(pcm) > np.abs(pcm).max() / 20)[0])
        after = first + len(pcm)
        if not speaks[max(0, onset - SAMPLE_RATE_HZ // 5) : onset].any():
            continue  # the reply was over, or between two sentences
        loud = np.flatnonzero(speaks[onset : after + _STAYS])
        edges = np.concatenate([[0], loud, [after + _STAYS - onset]])
        gaps = np.flatnonzero(np.diff(edges) >= _STAYS)
        end = int(edges[gaps[0]]) if len(gaps) else None
        out.append(None if end is None else 1000 * end / SAMPLE_RATE_HZ)
    return out


def _found(room: Float32Array, pcm: Float32Array) -> int:
    """Where `pcm` begins in `room`: the peak of their correlation."""
    n = 1 << (len(room) + len(pcm)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(room, n) * np.conj(np.fft.rfft(pcm, n)), n)
    return int(correlation[: len(room)].argmax())

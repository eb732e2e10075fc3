"""Hours of a worn day, replayed faster than real time: what each stage costs, and whether anything grows.

The shipped minute, then four minutes of a quiet room, over and over, through listener, backbone, voice, memory and
recorder, on one thread but for the recorder's. Budgets are asserted from that one run, as
openpilot does (selfdrive/test/test_onroad.py); CPU is percent of a core while worn, so seconds of work a second of
recording. BUDGETS are 1.5 times what was measured on a 2-core x86 machine (memory: 50 MB more).
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from glasses.assistant.kv_context import KvContext
from glasses.assistant.listener import Listener
from glasses.assistant.speculator import DraftState
from glasses.assistant.turn_encoder import EncodedTurn, TurnEncoder
from glasses.assistant.turn_manager import TurnManager
from glasses.audio.vad import Vad
from glasses.decoders.clauses import clauses
from glasses.decoders.speech import Voice
from glasses.evaluation.progress import Tick
from glasses.events import ReplyState, TurnCompleted
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.sound_segmenter import SoundSegmenter
from glasses.memory.view_filter import ViewFilter
from glasses.model_store import store
from glasses.recording.demo_session import events, load_session
from glasses.recording.recorder import Recorder
from glasses.runtime.bundle import LoadedBundle, open_bundle, open_voice
from glasses.runtime.heads import open_end_of_turn
from glasses.runtime.modalities import memory_policies
from glasses.types import NS_PER_S, SAMPLE_RATE_HZ, AudioChunk, Float32Array, Frame, SensorEvent

QUIET_S = 240
CHUNK = SAMPLE_RATE_HZ // 50
CHUNK_NS = NS_PER_S // 50
_WAITING = 1000  # entries for the recorder, from which the replay waits: it is not the disk that is measured
SETTLED = 0.6  # of the run: until then the memory's half hour fills
BUDGETS: dict[str, float] = {
    "cpu_percent gates": 0.9,
    "cpu_percent encode": 0.9,
    "cpu_percent answer": 1.5,
    "cpu_percent voice": 1.5,
    "cpu_percent memory": 0.3,
    "cpu_percent recorder and the rest": 1.8,
    "resident_mb": 620,
    "slope_mb_an_hour": 3.0,  # of pages, which the allocator takes and gives back: in one hour it tells no less
    "in_use_slope_mb_an_hour": 1.0,
    "recorded_mb_an_hour": 140,
    "descriptors_more": 0,
    "threads_more": 0,
}


@dataclass(slots=True)
class Cost:
    """Seconds of this thread's CPU by stage, and what the process held at each replayed minute."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    rss_mb: list[float] = field(default_factory=list)
    in_use_mb: list[float] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds what is done within."""
        began_s = time.thread_time()
        yield
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.thread_time() - began_s


def run(bundle: str, for_minutes: float, *, tick: Tick = lambda stage, done, total: None) -> dict[str, Any]:
    """Figures, and under "over" every budget that was not kept. Raises ModelError, InputError."""
    loaded, voice = open_bundle(bundle, n_threads=1), open_voice(bundle, n_threads=1)
    process, cost = psutil.Process(), Cost()
    minutes = max(1, round(for_minutes))
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), {"bundle": bundle})
        worn = _Worn(loaded, voice, recorder, cost)
        day = worn_day(NS_PER_S)
        held, cpu_s, wall_s, last_ns = None, time.process_time(), time.monotonic(), 0
        for event in day:
            if event.t_ns >= (len(cost.rss_mb) + 1) * 60 * NS_PER_S:
                cost.rss_mb.append(process.memory_info().rss / 1e6)
                cost.in_use_mb.append(in_use_mb())
                held = held or (process.num_fds(), process.num_threads())
                tick("minutes", len(cost.rss_mb), minutes)
                if len(cost.rss_mb) >= minutes:
                    break
            worn.feed(event)
            last_ns = event.t_ns
        cpu_s, wall_s, seconds = time.process_time() - cpu_s, time.monotonic() - wall_s, last_ns / NS_PER_S
        now = (process.num_fds(), process.num_threads())
        recorder.close()
        lost, written = recorder.n_lost, recorder.bytes_written
    voice.close()
    loaded.close()
    cost.cpu_s["recorder and the rest"] = max(0.0, cpu_s - sum(cost.cpu_s.values()))
    figures: dict[str, Any] = {f"cpu_percent {name}": round(100 * s / seconds, 1) for name, s in cost.cpu_s.items()}
    figures |= {
        "resident_mb": round(max(cost.rss_mb, default=0.0), 1),
        "slope_mb_an_hour": round(slope_an_hour(cost.rss_mb[int(SETTLED * len(cost.rss_mb)) :]), 2),
        "in_use_slope_mb_an_hour": round(slope_an_hour(cost.in_use_mb[int(SETTLED * len(cost.in_use_mb)) :]), 2),
        "recorded_mb_an_hour": round(written / 1e6 * 3600 / seconds, 1),
        "descriptors_more": now[0] - held[0] if held else 0,
        "threads_more": now[1] - held[1] if held else 0,
        "turns": worn.n_turns,
        "recording_lost": lost,
        "times_as_fast": round(seconds / wall_s, 1),
    }
    figures["over"] = [name for name, most in BUDGETS.items() if figures.get(name, 0) > most]
    return figures


def worn_day(start_ns: int) -> Iterator[SensorEvent]:
    """The shipped minute and QUIET_S of a quiet room, without end."""
    room = np.random.default_rng(0).normal(0, 20, SAMPLE_RATE_HZ * 10).astype(np.int16)  # -64 dBFS
    session = load_session()
    while True:
        last_ns = start_ns
        for event in events(session, start_ns=start_ns):
            yield event
            last_ns = event.t_ns
        start_ns = last_ns + CHUNK_NS
        for i in range(QUIET_S * NS_PER_S // CHUNK_NS):
            first = i * CHUNK % (len(room) - CHUNK)
            yield AudioChunk(start_ns, i, room[first : first + CHUNK], SAMPLE_RATE_HZ)
            start_ns += CHUNK_NS


def slope_an_hour(each_minute: list[float]) -> float:
    """Of a straight line through values a minute apart, an hour; Theil and Sen's median of slopes, for one late page of
    a library is no leak.
    """
    n = len(each_minute)
    slopes = [(each_minute[j] - each_minute[i]) / (j - i) for i in range(n) for j in range(i + 1, n)]
    return 60 * float(np.median(slopes)) if slopes else 0.0


class _MallInfo(ctypes.Structure):
    """struct mallinfo2 of mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    )


def in_use_mb() -> float:
    """What was allocated and not freed, 0.0 where the C library does not tell: pages that are kept are not in it."""
    told = getattr(ctypes.CDLL(None), "mallinfo2", None)  # glibc from 2.33 on
    if told is None:
        return 0.0
    told.restype = _MallInfo
    info = told()
    return (info.uordblks + info.hblkhd) / 1e6


class _TimedEncoder(TurnEncoder):
    """`spent_s`: processor time spent in drafts."""

    spent_s = 0.0

    def encode(self, pcm: Float32Array, end_ns: int, state: DraftState, *, wants_image: bool) -> EncodedTurn:
        began_s = time.thread_time()
        try:
            return super().encode(pcm, end_ns, state, wants_image=wants_image)
        finally:
            self.spent_s += time.thread_time() - began_s


class _Worn:
    """The pipeline without devices: the listener as in `glasses run`, the answer in the same thread."""

    def __init__(self, loaded: LoadedBundle, voice: Voice, recorder: Recorder, cost: Cost) -> None:
        detector = Vad(store.path_of(loaded.bundle.vad))
        self._loaded, self._voice, self._recorder, self._cost = loaded, voice, recorder, cost
        self._encoder = _TimedEncoder(loaded, end_of_turn=open_end_of_turn(loaded))
        self._listener = Listener(detector, TurnManager(), self._encoder)
        self._memory = LatentMemory(memory_policies())
        self._segmenter = SoundSegmenter(self._memory, lambda pcm, t_ns: (loaded.sound_encoder.encode(pcm, t_ns),))
        self._view = ViewFilter()
        self._context = KvContext(loaded)
        self.n_turns = 0

    def feed(self, event: SensorEvent) -> None:
        """One event through everything."""
        while self._recorder.n_waiting > _WAITING:
            time.sleep(0.01)
        self._recorder.put(event)
        with self._cost.stage("gates"):
            signals = self._listener.feed(event)
        self._cost.cpu_s["gates"] -= self._encoder.spent_s
        self._cost.cpu_s["encode"] = self._cost.cpu_s.get("encode", 0.0) + self._encoder.spent_s
        self._encoder.spent_s = 0.0
        with self._cost.stage("memory"):
            self._remember(event)
        for signal in signals:
            if isinstance(signal, TurnCompleted):
                self._answer(signal)

    def _remember(self, event: SensorEvent) -> None:
        if isinstance(event, AudioChunk):
            self._segmenter.feed(event, speech=self._listener.hears_speech)
        elif isinstance(event, Frame) and self._view.is_new(event.rgb, event.t_ns):
            self._memory.remember(self._loaded.image_encoder.encode(event.rgb, event.t_ns))

    def _answer(self, ended: TurnCompleted) -> None:
        draft = self._listener.last_draft
        assert draft is not None
        with self._cost.stage("answer"):
            self._context.prefill(draft)
            texts = [piece.text for piece in self._loaded.backbone.generate(draft.turn.id, max_tokens=64)]
        with self._cost.stage("voice"):
            for _ in self._voice.speak(clauses(iter(texts))):
                pass
        self._listener.feed(ReplyState(ended.span.decided_ns, draft.turn.id, "finished"))
        self.n_turns += 1

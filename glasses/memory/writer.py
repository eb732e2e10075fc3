"""Background thread that encodes sounds and pictures into a LatentMemory and answers recall queries.

The listener never waits for an encoder: events that the thread cannot keep up with are dropped and counted. The memory
is in RAM only (latent_memory.py).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from glasses.errors import GlassesError
from glasses.events import MemoryIntent
from glasses.memory.latent_memory import LatentMemory
from glasses.memory.sound_segmenter import Segment, SoundSegmenter
from glasses.memory.view_filter import ViewFilter
from glasses.system.supervised import SupervisedThread
from glasses.types import NS_PER_S, AudioChunk, Button, Float32Array, Frame, Latents, SensorEvent, UInt8Array

log = logging.getLogger(__name__)
WITHIN_S = 120.0  # how far back a recall reaches
CONFIRM_S = 10.0  # a touch this soon after the question is the answer to it
AGE_S = 30.0  # without events the memory is aged this often
CLOSE_S = 5.0  # systemd kills the service some seconds later
_MAX_WAITING = 400  # events: eight seconds of sound
_NEVER_NS = -(10**18)


class MemoryWriter:
    """`observe` sensor events; `recall` latents for a turn; `wipe` at once, or `request_wipe` and `confirm_wipe`.

    An event that an encoder fails on is lost, the memory goes on. A failure that is no GlassesError (onnxruntime raises
    its own) is reported by `supervised.failed_threads` as well.
    """

    def __init__(
        self,
        encode_sound: Callable[[Float32Array, int], Latents],
        encode_image: Callable[[UInt8Array, int], Latents],
        memory: LatentMemory,
        *,
        age_s: float = AGE_S,
        close_s: float = CLOSE_S,
    ) -> None:
        """`encode_sound` takes float32 (N,) at 16 kHz, `encode_image` uint8 (H, W, 3), each with its time in ns."""
        self._memory = memory
        self._segmenter = SoundSegmenter(self._memory, lambda pcm, t_ns: (encode_sound(pcm, t_ns),))
        self._view_filter = ViewFilter()
        self._encode_sound, self._encode_image = encode_sound, encode_image
        self._age_s, self._close_s = age_s, close_s
        self._lock = threading.Lock()  # of memory, segmenter and view filter; never held while an encoder runs
        self._waiting: queue.Queue[tuple[SensorEvent, bool, int] | None] = queue.Queue(_MAX_WAITING)
        self._wipe_requested_ns = _NEVER_NS
        self.n_lost = 0
        self._epoch = 0  # raised by each wipe, and when muted; events of an earlier epoch are not remembered
        self._n_wipes = 0  # nor are latents that were being made when everything was forgotten
        self._newest_ns = self._came_ns = time.monotonic_ns()  # of the newest event: its time, and when it was taken
        self._closing = threading.Event()
        self._thread = SupervisedThread(self._run, "memory", policy="restart").start()

    def observe(self, event: SensorEvent, *, speech: bool) -> None:
        """Queues one event and returns; `speech`: the user or the assistant is speaking in it."""
        try:
            self._waiting.put_nowait((event, speech, self._epoch))
        except queue.Full:
            self.n_lost += 1

    def settle(self) -> None:
        """Waits until every queued event is remembered or lost: for recordings played faster than real time."""
        while self._waiting.unfinished_tasks and self._thread.alive:
            time.sleep(0.001)

    def recall(self, intent: MemoryIntent, before_ns: int) -> tuple[Latents, ...]:
        """What a turn that began at `before_ns` is given for an intent; empty where nothing of the kind is held."""
        with self._lock:
            self._memory.age(before_ns)
            return self._memory.recall(intent, before_ns, within_s=WITHIN_S)

    def recall_last(self, before_ns: int) -> tuple[Latents, ...]:
        """The last sound, or the last picture where there was no sound: for a touch that asks "what was that?"."""
        return self.recall("sound", before_ns) or self.recall("picture", before_ns)

    def usage(self) -> tuple[float, float]:
        """Seconds from the oldest to the newest latents, and megabytes."""
        with self._lock:
            span = self._memory.span_ns
            return ((span[1] - span[0]) / NS_PER_S if span else 0.0), self._memory.n_bytes / 1e6

    def wipe(self) -> int:
        """Forgets everything, queued events included, before it returns. Returns the number of windows forgotten."""
        with self._lock:
            self._discard()
            self._n_wipes += 1
            return self._memory.wipe()

    def discard_unfinished(self) -> None:
        """Drops sound that is not yet a whole segment, and queued events: the microphone was muted."""
        with self._lock:
            self._discard()

    def request_wipe(self, t_ns: int) -> None:
        """The user asked by voice to forget everything. A voice may be misheard, so a touch has to confirm it."""
        self._wipe_requested_ns = t_ns

    def confirm_wipe(self, button: Button) -> bool:
        """Whether this touch confirms a requested wipe; if so, everything is forgotten when it returns."""
        confirmed = 0 <= button.t_ns - self._wipe_requested_ns <= CONFIRM_S * NS_PER_S
        if confirmed:
            self._wipe_requested_ns = _NEVER_NS
            self.wipe()
        return confirmed

    def close(self) -> None:
        """Ends the thread and forgets everything. Returns within seconds also where an encoder hangs."""
        self._closing.set()
        with suppress(queue.Full):  # a full queue wakes the thread as well
            self._waiting.put_nowait(None)
        if self._thread.close(self._close_s):
            self.wipe()
        else:
            log.warning("the memory's thread does not end: an encoder hangs")

    def _discard(self) -> None:
        self._epoch += 1
        self._segmenter.reset()
        self._view_filter.reset()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                queued = self._waiting.get(timeout=self._age_s)
            except queue.Empty:
                with self._lock:
                    self._memory.age(self._newest_ns + time.monotonic_ns() - self._came_ns)
                continue
            try:
                if queued is not None:
                    self._take(*queued)
            except GlassesError as error:
                log.warning("an event is not remembered: %s", error)
            finally:  # also for what ends this loop: the thread's supervisor begins it again
                self._waiting.task_done()

    def _take(self, event: SensorEvent, speech: bool, epoch: int) -> None:
        self._newest_ns, self._came_ns = event.t_ns, time.monotonic_ns()
        segments, view = list[Segment](), None
        with self._lock:
            n_wipes = self._n_wipes
            if epoch != self._epoch:
                return
            if isinstance(event, AudioChunk):
                before_ns = self._segmenter.began_ns
                segments = self._segmenter.cut(event, speech=speech)
                began_ns = self._segmenter.began_ns
                if began_ns is not None and began_ns != before_ns:
                    self._view_filter.sound_began(began_ns)
            elif isinstance(event, Frame) and self._view_filter.is_new(event.rgb, event.t_ns):
                view = event
        # Not under the lock: an encoder that hangs must not keep the listener from muting and forgetting.
        for segment in segments:
            self._remember(self._encode_sound(segment.pcm, segment.t_ns), n_wipes, talk=segment.talk)
        if view:
            self._remember(self._encode_image(view.rgb, view.t_ns), n_wipes)

    def _remember(self, latents: Latents, n_wipes: int, *, talk: bool = False) -> None:
        """Remembers what was sensed when `n_wipes` wipes had been, unless there was another since."""
        with self._lock:
            if n_wipes == self._n_wipes:
                self._memory.remember(latents, talk=talk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

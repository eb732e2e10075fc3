"""What the running senses leave in memory, and what of it a turn is given. Knows no gate that opens turns, no backbone.

Sound and pictures are encoded on a thread of their own, so that the ear never waits; what that thread cannot keep up
with is dropped and counted. The memory itself is memory.py's: latents, in RAM only.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Self

from glasses.errors import GlassesError
from glasses.events import MemoryIntent
from glasses.memory.latent_memory import LatentMemory, SoundSegmenter
from glasses.memory.view_filter import ViewFilter
from glasses.types import NS_PER_S, AudioChunk, Button, Float32Array, Frame, Latents, SensorEvent, UInt8Array

log = logging.getLogger(__name__)
WITHIN_S = 120.0  # how far "just now" and "a minute ago" reach
CONFIRM_S = 10.0  # a touch this soon after the question is the answer to it
AGE_S = 30.0  # what has become too old goes that much later at most, also where nothing is heard or seen
_WAITING = 400  # events: eight seconds of sound


class MemoryWriter:
    """`saw` whatever the senses give; `recall` for a turn; `wipe`, at once or asked for and confirmed by a touch."""

    def __init__(
        self,
        encode_sound: Callable[[Float32Array, int], Latents],
        encode_image: Callable[[UInt8Array, int], Latents],
        memory: LatentMemory | None = None,
    ) -> None:
        """`encode_sound` takes float32 (N,) at 16 kHz, `encode_image` uint8 (H, W, 3), each with its time in ns."""
        self._memory = memory or LatentMemory()
        self._keeper = SoundSegmenter(self._memory, lambda pcm, t_ns: (encode_sound(pcm, t_ns),))
        self._see = encode_image
        self._lock = threading.Lock()  # of memory and keeper
        self._waiting: queue.Queue[tuple[SensorEvent, bool, int] | None] = queue.Queue(_WAITING)
        self._gate = ViewFilter()
        self._asked_ns = -(10**18)
        self.n_lost = self._epoch = 0  # what was given before the last wipe is of another epoch
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def saw(self, event: SensorEvent, *, speech: bool) -> None:
        """Takes one event, at once; `speech`: somebody speaks in it, or the assistant does."""
        try:
            self._waiting.put_nowait((event, speech, self._epoch))
        except queue.Full:
            self.n_lost += 1

    def settle(self) -> None:
        """Waits until all that was given is remembered: where a recording is played faster than its time."""
        self._waiting.join()

    def recall(self, wish: MemoryIntent, before_ns: int) -> tuple[Latents, ...]:
        """What a turn that began at `before_ns` is given for a wish; empty where nothing of the kind is remembered."""
        with self._lock:
            self._memory.age(before_ns)
            if wish == "sound":
                return self._memory.recall_sound(before_ns, within_s=WITHIN_S)
            seen = self._memory.last_picture(before_ns, within_s=WITHIN_S) if wish == "picture" else None
            return (seen,) if seen else ()

    def last(self, before_ns: int) -> tuple[Latents, ...]:
        """The wearer asked by touch what that was: the last sound, or the last picture where there was none."""
        return self.recall("sound", before_ns) or self.recall("picture", before_ns)

    def held(self) -> tuple[float, float]:
        """Seconds from the oldest to the newest, and megabytes."""
        with self._lock:
            span = self._memory.span_ns
            return ((span[1] - span[0]) / NS_PER_S if span else 0.0), self._memory.n_bytes / 1e6

    def wipe(self) -> int:
        """Forgets all, also what waits to be encoded, before it returns. Gives the number of windows that went."""
        with self._lock:
            self._drop()
            return self._memory.wipe()

    def forget_unfinished(self) -> None:
        """Muted: what was heard and is not yet a whole piece goes."""
        with self._lock:
            self._drop()

    def ask_wipe(self, t_ns: int) -> None:
        """The wearer said so; a voice is not proof enough for what cannot be undone."""
        self._asked_ns = t_ns

    def confirms(self, button: Button) -> bool:
        """Whether this touch means "yes, forget": then all is forgotten when it returns."""
        confirmed = 0 <= button.t_ns - self._asked_ns <= CONFIRM_S * NS_PER_S
        if confirmed:
            self._asked_ns = -(10**18)
            self.wipe()
        return confirmed

    def close(self) -> None:
        """Ends the thread and forgets all."""
        self.wipe()
        self._waiting.put(None)
        self._thread.join(5)

    def _drop(self) -> None:
        self._epoch += 1
        self._keeper.reset()
        self._gate.reset()

    def _run(self) -> None:
        last_ns = came_ns = time.monotonic_ns()
        while True:
            try:
                one = self._waiting.get(timeout=AGE_S)
            except queue.Empty:
                with self._lock:
                    self._memory.age(last_ns + time.monotonic_ns() - came_ns)
                continue
            if one is None:
                return
            event, speech, epoch = one
            last_ns, came_ns = event.t_ns, time.monotonic_ns()
            try:
                with self._lock:
                    if epoch == self._epoch:
                        self._take(event, speech)
            except GlassesError as error:  # one piece is lost, not the memory
                log.warning("not remembered: %s", error)
            self._waiting.task_done()

    def _take(self, event: SensorEvent, speech: bool) -> None:
        if isinstance(event, AudioChunk):
            before_ns = self._keeper.began_ns
            self._keeper.feed(event, speech=speech)
            began_ns = self._keeper.began_ns
            if began_ns is not None and began_ns != before_ns:
                self._gate.hears(began_ns)
        elif isinstance(event, Frame) and self._gate.is_new(event.rgb, event.t_ns):
            self._memory.remember(self._see(event.rgb, event.t_ns))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""Connects the pipeline with the memory: what is sensed goes in, turns are given of it, a touch confirms a wipe."""

from __future__ import annotations

import time
from collections.abc import Callable

from glasses.assistant.config import MemoryConfig
from glasses.assistant.setup import CONFIRM_WIPE, SAID, MemoryRecall
from glasses.events import Draft, MemoryIntent, Outcome, Reply
from glasses.memory.latent_memory import LatentMemory, tiers_within
from glasses.runtime.bundle import LoadedBundle, open_memory
from glasses.runtime.modalities import memory_policies
from glasses.types import Button, DeviceChange, Float32Array, Latents, SensorEvent, Wiped


class MemoryLink:
    """The memory of one pipeline. Without a memory it recalls nothing and remembers at most its own replies."""

    def __init__(self, config: MemoryConfig, loaded: LoadedBundle, publish: Callable[[Wiped], None]) -> None:
        """Starts the thread that encodes what is remembered. Raises ModelError from the memory intent's heads."""
        self._publish = publish
        self._writer = None
        if config.minutes > 0:
            kept = LatentMemory(memory_policies(), tiers=tiers_within(60 * config.minutes))
            self._writer = open_memory(loaded, kept)
        self._recall = MemoryRecall(loaded, self._writer, keep_replies=config.keep_replies)

    def on_sensor_event(self, event: SensorEvent, *, has_speech: bool) -> None:
        """Takes what the listener took; `has_speech`: somebody speaks in it, or the assistant does. Never waits."""
        if self._writer:
            self._writer.observe(event, speech=has_speech)

    def on_device_change(self, change: DeviceChange) -> None:
        """What was heard before muting, and is not yet a whole segment, is dropped."""
        if self._writer and change.state == "muted":
            self._writer.discard_unfinished()

    def on_reply(self, reply: Reply) -> None:
        """Keeps a reply where replies are kept; the spoken question whether to forget opens the time for the answer."""
        if self._writer and reply.canned_reply == CONFIRM_WIPE and reply.outcome == Outcome.COMPLETED:
            self._writer.request_wipe(time.monotonic_ns())
        if reply.ended and not reply.canned_reply and reply.outcome in SAID:
            self._recall.said(reply.draft.turn.id, reply.text, reply.ended.span.decided_ns)

    def recall(self, words: Float32Array, cause: str, t_ns: int) -> tuple[MemoryIntent, tuple[Latents, ...]]:
        """The memory intent in a turn that began at `t_ns`, and the latents that it is given."""
        return self._recall.recall(words, cause, t_ns)

    def canned_reply(self, draft: Draft) -> str:
        """What is said to this draft without asking the backbone; empty where the backbone is to answer."""
        return self._recall.instead(draft)

    def is_consumed(self, button: Button) -> bool:
        """Whether this touch confirms a wipe: then all is forgotten when it returns, and the touch starts no turn."""
        if self._writer is None or not self._writer.confirm_wipe(button):
            return False
        self._recall.forget()
        self._publish(Wiped(button.t_ns))
        return True

    def wipe(self) -> None:
        """Forgets all before it returns."""
        self._recall.forget()
        n_windows = self._writer.wipe() if self._writer else 0
        self._publish(Wiped(time.monotonic_ns(), n_windows))

    @property
    def n_lost(self) -> int:
        """Sounds and pictures that were not remembered, because the encoders could not keep up."""
        return self._writer.n_lost if self._writer else 0

    def usage(self) -> tuple[float, float]:
        """Seconds from the oldest to the newest, and megabytes."""
        return self._writer.usage() if self._writer else (0.0, 0.0)

    def close(self) -> None:
        """Ends the thread and forgets all."""
        if self._writer:
            self._writer.close()

"""Cuts live sound into the segments that are remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from glasses.audio.loudness import is_audible
from glasses.memory.latent_memory import LatentMemory
from glasses.types import NS_PER_S, AudioChunk, Float32Array, Latents

BLOCK_MS = 100  # is_audible's own
QUIET_MS = 500  # silence that ends a segment
SHORTEST_MS, LONGEST_MS = 300, 4000
TALK_MS = 160  # as in the listener: less speech than this is a noise
HOLE_NS = 100_000_000  # between chunks further apart than this a segment ends


class Segment(NamedTuple):
    """Sound float32 (N,) from `t_ns` on that is to be remembered as one; `talk`: somebody speaks in it."""

    pcm: Float32Array
    t_ns: int
    talk: bool


class SoundSegmenter:
    """Cuts the live sound where it falls silent, where somebody begins to speak and at LONGEST_MS, and has every
    audible segment remembered.

    `encode` makes latents of float32 (N,) sound at 16 kHz and its time. It runs inside `feed`, once a segment; the
    caller decides by the encoders it gives (and by not calling) what that may cost. `cut` encodes nothing.
    """

    def __init__(self, memory: LatentMemory, encode: Callable[[Float32Array, int], tuple[Latents, ...]]) -> None:
        self._memory, self._encode = memory, encode
        self.reset()

    def reset(self) -> None:
        """Drops sound that is not yet a whole segment: the user muted, or wants it forgotten."""
        self._block: list[AudioChunk] = []
        self._segment: list[AudioChunk] = []
        self._speech_ms = self._block_speech_ms = self._quiet_ms = 0.0
        self._next_ns = 0
        self.began_ns: int | None = None  # of the sound that goes on, however many segments it is cut into

    def feed(self, chunk: AudioChunk, *, speech: bool) -> bool:
        """Takes a chunk at 16 kHz; `speech`: the voice detector's last step was. True where a segment was remembered.

        Raises as `encode` does; that segment is lost.
        """
        segments = self.cut(chunk, speech=speech)
        for segment in segments:
            for latents in self._encode(segment.pcm, segment.t_ns):
                self._memory.remember(latents, talk=segment.talk)
        return bool(segments)

    def cut(self, chunk: AudioChunk, *, speech: bool) -> list[Segment]:
        """Takes what `feed` takes, and gives the segments that it completed, often none."""
        finished = self._break_off() if abs(chunk.t_ns - self._next_ns) > HOLE_NS else []
        self._next_ns = chunk.t_ns + len(chunk.pcm) * NS_PER_S // chunk.rate_hz
        self._block.append(chunk)
        self._block_speech_ms += _ms([chunk]) if speech else 0
        if _ms(self._block) < BLOCK_MS:
            return finished
        block, spoken_ms = self._block, self._block_speech_ms
        self._block, self._block_speech_ms = [], 0.0
        return finished + self._add(block, spoken_ms)

    def _break_off(self) -> list[Segment]:
        """Sound is missing, or the clock was placed anew, as on a busy machine: what was heard until now is a segment.

        Were it dropped, a bark of seconds would be remembered as the last half second of it, which sounds like nothing.
        """
        finished = [self._finish()] if _ms(self._segment) >= SHORTEST_MS else []
        self.reset()
        return finished

    def _add(self, block: list[AudioChunk], spoken_ms: float) -> list[Segment]:
        audible = is_audible(_pcm(block))
        if audible and self.began_ns is None:
            self.began_ns = block[0].t_ns
        speech_begins = spoken_ms > BLOCK_MS / 2 and self._speech_ms < TALK_MS and _ms(self._segment) >= SHORTEST_MS
        finished = [self._finish()] if speech_begins else []
        if not audible and not self._segment:
            self.began_ns = None
            return finished
        self._segment += block
        self._speech_ms += spoken_ms
        self._quiet_ms = 0.0 if audible else self._quiet_ms + _ms(block)
        if self._quiet_ms >= QUIET_MS:
            self.began_ns = None
        if self._quiet_ms >= QUIET_MS or _ms(self._segment) >= LONGEST_MS:
            finished.append(self._finish())
        return finished

    def _finish(self) -> Segment:
        segment, talk = self._segment, self._speech_ms >= TALK_MS
        self._segment, self._speech_ms, self._quiet_ms = [], 0.0, 0.0
        return Segment(_pcm(segment), segment[0].t_ns, talk)


def _pcm(chunks: list[AudioChunk]) -> Float32Array:
    return np.concatenate([one.pcm for one in chunks]).astype(np.float32) / np.float32(32768)


def _ms(chunks: list[AudioChunk]) -> float:
    return sum(1000 * len(one.pcm) / one.rate_hz for one in chunks)

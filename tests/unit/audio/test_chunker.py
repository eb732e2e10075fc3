"""Chunks of 20 ms: times of samples after resampling."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from glasses.audio.chunker import CHUNK_MS, Chunker
from glasses.types import AudioChunk

MS = 1_000_000


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("block_ms", [10, 20, 37])
def test_chunker_click_keeps_its_time_through_resampling(rate_hz: int, block_ms: int) -> None:
    """A click that a device recorded at 600 ms lies at 600 ms in the chunks, whatever the rate and the blocks."""
    pcm = np.zeros(2 * rate_hz, np.int16)
    pcm[rate_hz * 6 // 10] = 30_000
    chunks, block = list[AudioChunk](), rate_hz * block_ms // 1000
    chunker = Chunker(chunks.append, rate_hz)
    for first in range(0, len(pcm), block):
        chunker.put(pcm[first : first + block], 5000 * MS + first * 1_000_000_000 // rate_hz)
    clicked = max(chunks, key=lambda chunk: int(np.abs(chunk.pcm).max()))
    at_ms = clicked.t_ns / MS + np.abs(clicked.pcm).argmax() * 1000 / clicked.rate_hz
    assert abs(at_ms - 5600) < 1
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert {round((b.t_ns - a.t_ns) / MS, 3) for a, b in pairwise(chunks)} == {CHUNK_MS}

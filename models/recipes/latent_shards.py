"""Feeds latent shards to a training loop. Knows the shard format of speech_clips, no model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

VOICES = ("speech", "man", "woman")


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: int8 latents (T, D), their float16 row scales (T, 1), and what was said, "" where nobody speaks."""

    rows: np.ndarray
    scales: np.ndarray
    text: str

    def latents(self, speed: float = 1.0) -> np.ndarray:
        """float32 (T / speed, D), read between the rows where the speed is not 1: another tempo, the same pitch."""
        rows = self.rows.astype(np.float32) * self.scales.astype(np.float32)
        if speed == 1.0:
            return rows
        at = np.arange(0, len(rows) - 1, speed)
        low = np.minimum(at.astype(np.int64), len(rows) - 2)  # arange may overstep its end by a rounding
        share = (at - low).astype(np.float32)[:, None]
        return (1 - share) * rows[low] + share * rows[low + 1]


class Shards:
    """All finished shards of some folders in memory; `refresh` picks up those finished since.

    Files without texts are sounds (models.recipes.sound_clips); those named after a voice are left out, as nobody
    wrote down what they say.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._folders, self._seen = folders, set[Path]()
        self.clips: list[Clip] = []
        self.refresh()

    def refresh(self) -> None:
        """Loads the shards that were not there before."""
        for path in sorted(p for folder in self._folders for p in folder.glob("*.npz") if p not in self._seen):
            self._seen.add(path)
            if path.stem.partition("@")[0] in VOICES:
                continue
            with np.load(path) as shard:
                ends = np.cumsum(shard["lengths"])
                rows, scales = shard["rows"], shard["scales"]
                texts = shard["texts"] if "texts" in shard else [""] * len(ends)
                for end, length, text in zip(ends, shard["lengths"], texts, strict=True):
                    self.clips.append(Clip(rows[end - length : end], scales[end - length : end], str(text)))

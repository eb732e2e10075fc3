"""Connectors that make a fixed number of rows of a window: pictures, and whatever in a sound is not words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.onnx_session import open_session
from glasses.types import Float32Array, Latents, frozen


def check_space(latents: Latents, expected: str) -> None:
    """Raises ModelError(WRONG_SPACE) for latents of another encoder, which would be noise to this connector."""
    if latents.space != expected:
        raise ModelError(
            Reason.WRONG_SPACE,
            f"latents of space {latents.space!r} given to a connector for {expected!r}; use the bundle's own encoder",
        )


class PooledConnector:
    """Latents (T, D) -> rows float32 (k, n_embd), learned begin and end rows included."""

    def __init__(self, path: Path, *, n_threads: int = 2) -> None:
        self._session = open_session(path, n_threads=n_threads)
        self.width: int = self._session.get_inputs()[0].shape[-1]  # of the latents it takes
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.space = metadata.get("space", "")
        if not self.space:
            raise ModelError(Reason.CORRUPT, f"{path}: not a connector, its metadata names no latent space")
        self._beside_words = slice(*json.loads(metadata.get("beside_words", "[null]")))

    def apply(self, latents: Latents) -> Float32Array:
        """Returns the rows. Raises ModelError(WRONG_SPACE)."""
        check_space(latents, self.space)
        (rows,) = self._session.run(["rows"], {"latents": latents.data})
        return frozen(np.ascontiguousarray(rows, dtype=np.float32))

    def apply_beside_words(self, latents: Latents) -> Float32Array:
        """Returns only the rows that go beside words: how it was said and where, without a sentence around them.

        The file's metadata names them. All rows in front of a spoken question made a small backbone talk about sounds.
        """
        return self.apply(latents)[self._beside_words]

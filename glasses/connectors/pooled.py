"""Connectors that make a fixed number of rows from a window: for pictures, and for sounds that are no words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.model_store.onnx import open_session
from glasses.types import Float32Array, Latents, frozen


def check_space(latents: Latents, expected: str) -> None:
    """Raises ModelError(WRONG_SPACE) for latents of another encoder, which would be noise to this connector."""
    if latents.space != expected:
        raise ModelError(
            Reason.WRONG_SPACE,
            f"latents of space {latents.space!r} given to a connector for {expected!r}; use the bundle's own encoder",
        )


class Network:
    """A connector's ONNX file: its input width and the latent spaces named in its metadata."""

    def __init__(self, path: Path, *, n_threads: int, also: str = "") -> None:
        """`also` names an inner tensor that `run` can return too. Raises ModelError: NOT_FOUND, CORRUPT."""
        self._session = open_session(path, n_threads=n_threads, also=also)
        self.width: int = self._session.get_inputs()[0].shape[-1]  # of `latents`
        self.metadata = self._session.get_modelmeta().custom_metadata_map
        self.space = self.metadata.get("space", "")
        if not self.space:
            raise ModelError(Reason.CORRUPT, f"{path}: not a connector, its metadata names no latent space")
        self._companion_space = self.metadata.get("beside_space")
        if self._companion_space:
            companion = next(one for one in self._session.get_inputs() if one.name == "beside")
            self._no_companion = np.zeros((1, companion.shape[-1]), np.float32)

    def run(self, output: str, latents: Latents, companion: Latents | None) -> Float32Array:
        """The tensor `output`, float32. Raises ModelError(WRONG_SPACE).

        `companion`: another encoder's latents of the same window. Some networks read them too and are then more
        accurate; the others ignore them.
        """
        check_space(latents, self.space)
        feeds = {"latents": latents.data}
        if self._companion_space:
            if companion:
                check_space(companion, self._companion_space)
            feeds["beside"] = companion.data if companion else self._no_companion
            feeds["has_beside"] = np.array([companion is not None], np.float32)
        return np.asarray(self._session.run([output], feeds)[0], dtype=np.float32)


class PooledConnector:
    """Latents (T, D) -> rows float32 (k, n_embd), learned begin and end rows included.

    `backbone_sha256` is that of the backbone's file which it was trained for, "" where its file does not say so.
    """

    def __init__(self, path: Path, *, n_threads: int = 2) -> None:
        self._network = Network(path, n_threads=n_threads)
        self.width, self.space = self._network.width, self._network.space
        self.backbone_sha256 = self._network.metadata.get("backbone_sha256", "")
        self._ambient_rows = slice(*json.loads(self._network.metadata.get("beside_words", "[null]")))

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        """Returns the rows; `companion` as in `Network.run`. Raises ModelError(WRONG_SPACE)."""
        return frozen(np.ascontiguousarray(self._network.run("rows", latents, companion)))

    def apply_beside_words(self, latents: Latents) -> Float32Array:
        """Returns only the rows that may precede spoken words: how it was said and where, without a sentence around.

        The file's metadata names them. With all rows in front of a spoken question a small backbone talked about
        sounds.
        """
        return self.apply(latents)[self._ambient_rows]

"""Lets a connector trained for backbone A drive backbone B without training.

A's class probabilities weight B's own token embeddings (`glasses.connectors.token_mixture`): what a network finds in a
picture or a sound does not depend on the backbone that reads it, only the rows it is expressed in do. A
`glasses.connectors.backbone_adapter` trained for B makes it better. `models/recipes/soft_token_wording.py` writes the
wording files (JSON).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from glasses.connectors import backbone_adapter
from glasses.connectors.backbone_adapter import BackboneAdapter
from glasses.connectors.pooled import Network
from glasses.connectors.token_mixture import TokenMixture, TokenRowSource
from glasses.errors import ModelError, Reason
from glasses.types import Float32Array, Latents, frozen

MAX_FILE_BYTES = 1 << 20
_Slot = tuple[int, int, str]  # number of the slot, region of the network's probabilities, list of texts


class SoftTokenConnector:
    """Latents (T, D) -> rows float32 (n, n_embd): a sentence whose slots are filled with soft tokens.

    The wording file names the tensor of the ONNX network that holds its class probabilities (regions, n_classes);
    what the classes are called in `names` and, more coarsely, in `kinds`; and the sentence: texts, and slots
    {"region": r, "say": "names" | "kinds"}.
    """

    def __init__(
        self,
        wording_path: Path,
        network_path: Path,
        backbone: TokenRowSource,
        *,
        adapter_path: Path | None = None,
        backbone_sha256: str = "",
        n_threads: int = 2,
    ) -> None:
        """`adapter_path` names an adapter trained for the backbone whose file has the sha256 `backbone_sha256`.

        Raises ModelError: NOT_FOUND, TOO_LARGE, CORRUPT, WRONG_SPACE (an adapter for another backbone).
        """
        wording = read(wording_path, {"units", "names", "kinds", "sentence"})
        self._probabilities: str = wording["units"]
        self._network = Network(network_path, n_threads=n_threads, also=self._probabilities)
        self.width, self.space = self._network.width, self._network.space
        self._mixtures = {
            which: TokenMixture([f" {name}" for name in wording[which]], backbone) for which in ("names", "kinds")
        }
        texts = [part for part in wording["sentence"] if isinstance(part, str)]
        slots = [(part["region"], part["say"]) for part in wording["sentence"] if not isinstance(part, str)]
        self._adapter: BackboneAdapter | None = None
        if adapter_path:
            shape = {"n_texts": len(texts), "n_slots": len(slots), "n_embd": backbone.token_rows([]).shape[1]}
            self._adapter = backbone_adapter.read(adapter_path, backbone=backbone_sha256, space=self.space, **shape)
            rows = iter(self._adapter.prompt_rows)
        else:
            rows = iter([backbone.token_rows(backbone.tokenize(text)) for text in texts])
        slot = iter((i, region, which) for i, (region, which) in enumerate(slots))
        self._sentence: list[Float32Array | _Slot] = [
            next(rows) if isinstance(part, str) else next(slot) for part in wording["sentence"]
        ]

    def apply(self, latents: Latents, companion: Latents | None = None) -> Float32Array:
        """Returns the rows; `companion` as in `Network.run`. Raises ModelError(WRONG_SPACE)."""
        probabilities = self._network.run(self._probabilities, latents, companion)
        rows = [part if isinstance(part, np.ndarray) else self._soft(part, probabilities) for part in self._sentence]
        return frozen(np.concatenate(rows))

    def _soft(self, slot: _Slot, probabilities: Float32Array) -> Float32Array:
        number, region, which = slot
        if self._adapter is None:
            return self._mixtures[which].rows(probabilities[region])
        sharpened = probabilities[region] ** self._adapter.inverse_temperature[number]
        return self._adapter.corrected(self._mixtures[which].rows(sharpened))


def read(path: Path, keys: set[str]) -> dict[str, Any]:
    """A wording file. Raises ModelError: TOO_LARGE, or CORRUPT where it is not JSON with exactly `keys`."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelError(Reason.TOO_LARGE, f"{path}: over the cap of {MAX_FILE_BYTES:,} bytes")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(Reason.CORRUPT, f"{path}: not JSON: {error}") from error
    if not isinstance(table, dict) or table.keys() != keys:
        raise ModelError(Reason.CORRUPT, f"{path}: must hold {', '.join(sorted(keys))} and nothing else")
    return table

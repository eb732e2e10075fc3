"""Makes the int8 weights of a small BERT sentence encoder (the MiniLM family) from its safetensors.

`glasses models pull` runs this on the machine that needs the weights; the repository holds only the graph that reads
them, which `quantize/sentence_encoder.py` writes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasses.errors import ModelError, Reason
from glasses.model_store.flat_weights import Arrays, matrix, write

ATTENTION = tuple(f"attention.{name}" for name in ("self.query", "self.key", "self.value", "output.dense"))
LINEARS = (*ATTENTION, "intermediate.dense", "output.dense")
NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
_TINY = np.float32(1e-12)


def layers(tensors: Arrays) -> list[str]:
    """The name of each layer, first to last."""
    n_layer = sum(name.endswith("intermediate.dense.bias") for name in tensors)
    return [f"encoder.layer.{i}" for i in range(n_layer)]


def arrays(tensors: Arrays) -> Arrays:
    """Everything that the graph reads, by name, in the order of the file.

    The word table is int8 with one scale a row: `words.int8` (n_words, n_state) and `words.scale` (n_words, 1).
    `positions` (n_positions, n_state) holds the embeddings of the position and of the one segment, added.
    Raises KeyError with the name of a tensor that is not there.
    """
    table = tensors["embeddings.word_embeddings.weight"].astype(np.float32)
    scale = np.abs(table).max(axis=1, keepdims=True) / np.float32(127) + _TINY
    segment = tensors["embeddings.token_type_embeddings.weight"][0]
    out: Arrays = {
        "words.int8": np.rint(table / scale).astype(np.int8),
        "words.scale": scale,
        "positions": (tensors["embeddings.position_embeddings.weight"] + segment).astype(np.float32),
        **_norm(tensors, "embeddings.LayerNorm"),
    }
    for layer in layers(tensors):
        for name in (f"{layer}.{linear}" for linear in LINEARS):
            out |= matrix(name, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        for norm in NORMS:
            out |= _norm(tensors, f"{layer}.{norm}")
    return out


def _norm(tensors: Arrays, name: str) -> Arrays:
    parts = {"gamma": "weight", "beta": "bias"}
    return {f"{name}.{ours}": tensors[f"{name}.{theirs}"].astype(np.float32) for ours, theirs in parts.items()}


def make(source: Path, out: Path) -> None:
    """Writes the file of weights from `model.safetensors`. Raises ModelError: NOT_INSTALLED, CORRUPT."""
    try:
        from safetensors import SafetensorError  # noqa: PLC0415  # the extra `documents`
        from safetensors.numpy import load_file  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            Reason.NOT_INSTALLED, "making a sentence encoder needs, from the checkout: pip install -e '.[documents]'"
        ) from error
    try:
        held = arrays(load_file(source))
    except (KeyError, SafetensorError) as error:
        raise ModelError(Reason.CORRUPT, f"{source} is no sentence encoder: {error}") from error
    write(held, out)
